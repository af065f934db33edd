//! Each replica has a ring of its own, which an update reaches when it reaches it (DESIGN §5).

use std::fs;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use serde_json::Value;

use crate::cluster::Cluster;
use crate::crowd::{Crowd, Pace};
use crate::ring_folder::{mount, update};
use crate::support::sealgate::{key_ids, run};
use crate::support::wait::reach;
use crate::support::{Sealgate, eventually};
use crate::tally::{Counts, show};

/// The kubelet's work at one replica.
fn swap(cluster: &Cluster, index: usize, content: &[u8]) {
    let ring = &cluster.replica(index).ring;
    update(ring.parent().expect("a file in a folder"), content);
}

/// Brings the ring to the replicas one after the other, half a second apart, and waits until `keys check` says that it
/// has arrived everywhere.
async fn roll_out(cluster: &Cluster) {
    let ring = fs::read(&cluster.ring).expect("the ring is readable");
    let late = async {
        for index in 0..3 {
            swap(cluster, index, &ring);
            reach(Instant::now() + Duration::from_millis(500)).await;
        }
    };
    tokio::join!(late, cluster.arrived());
}

async fn in_state(cluster: &Cluster, state: &str) -> Vec<String> {
    let list: Value = serde_json::from_str(&cluster.keys(&["list", "--json"]).await).expect("JSON");
    let keys = list["keys"].as_array().expect("a list of keys").iter().filter(|key| key["state"] == state);
    keys.map(|key| key["kid"].as_str().expect("a key id").to_owned()).collect()
}

/// Logins while the keys change.
async fn sign_in_all_along(cluster: &Cluster, stop: &std::sync::atomic::AtomicBool) -> usize {
    let mut logins = 0;
    while !stop.load(std::sync::atomic::Ordering::SeqCst) {
        // It asserts that the callback succeeds.
        let browser = crate::support::Browser::one_of_many(&cluster.origin, crate::support::browser::client());
        browser.sign_in().await;
        assert_eq!(browser.user().await["sub"], "ada");
        logins += 1;
        reach(Instant::now() + Duration::from_millis(200)).await;
    }
    logins
}

async fn survives_an_invalid_ring(cluster: &Cluster) {
    let whole = fs::read(&cluster.ring).expect("the ring is readable");
    for (index, torn) in [(0, &whole[..whole.len() / 2]), (1, b"{}".as_slice()), (2, b"".as_slice())] {
        swap(cluster, index, torn);
    }
    join_all(cluster.running().map(|replica: &Sealgate| {
        eventually("the torn ring to be refused", Duration::from_secs(30), async || {
            (replica.metric("sealgate_ring_reload_failures_total").await > 0).then_some(())
        })
    }))
    .await;
}

/// Rotate, roll out, activate, retire early, and prune: nobody is signed out, and no login fails.
async fn change_keys(cluster: &Cluster) {
    cluster.keys(&["rotate"]).await;
    roll_out(cluster).await;
    eventually("the staged key to seal", Duration::from_secs(30), async || {
        in_state(cluster, "staged").await.is_empty().then_some(())
    })
    .await;
    survives_an_invalid_ring(cluster).await;
    roll_out(cluster).await;

    // The second one is let in before its time, once it has been everywhere for the propagation.
    let second = cluster.keys(&["rotate", "--activate-after", "1h"]).await;
    assert!(second.contains("Staged key"), "{second}");
    roll_out(cluster).await;
    let primary = in_state(cluster, "primary").await.remove(0);
    let ring = cluster.ring.to_str().expect("a path in UTF-8");
    eventually("the staged key to be let in", Duration::from_secs(30), async || {
        run(&["keys", "retire", &primary, "--ring", ring]).await.status.success().then_some(())
    })
    .await;
    roll_out(cluster).await;

    // By then every session has been sealed anew, which `prune` cannot know: to it the retired keys' time must be over.
    reach(Instant::now() + Duration::from_secs(8)).await;
    prune(cluster).await;
    roll_out(cluster).await;
    assert_eq!(key_ids(&cluster.ring).len(), 1, "the retired keys are gone");
}

/// `keys prune` on a machine whose clock is ahead of the keys' end.
async fn prune(cluster: &Cluster) {
    let early = cluster.keys(&["prune"]).await;
    assert_eq!(key_ids(&cluster.ring).len(), 3, "never early: {early}");
    let output = tokio::process::Command::new("faketime")
        .args(["-f", "+10m", env!("CARGO_BIN_EXE_sealgate"), "keys", "prune", "--ring"])
        .arg(&cluster.ring)
        .output();
    let output = output.await.expect("faketime is installed: `make test` says how");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_that_arrive_at_different_times_sign_nobody_out_and_fail_no_login() {
    let cluster = Cluster::plan().max_session("5m").rings(mount).start().await;
    let mut crowd = Crowd::sign_in(&cluster, 10).await;
    crowd.begin(Pace { burst: 4, tabs: 1, every: Duration::from_secs(1) });
    let stop = std::sync::atomic::AtomicBool::new(false);
    let change = async {
        change_keys(&cluster).await;
        reach(Instant::now() + Duration::from_secs(2)).await;
        stop.store(true, std::sync::atomic::Ordering::SeqCst);
    };
    let ((), logins) = tokio::join!(change, sign_in_all_along(&cluster, &stop));
    let report = crowd.end(&cluster).await;
    show(&report.table(&format!("Keys that arrive at different times, {logins} logins"), &cluster.memory()));
    assert_eq!((report.lost, Counts::total(&report.counts.signed_out)), (0, 0));
    assert!(logins > 10);
}
