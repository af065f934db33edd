//! Plays key rotation through: replicas with lagging files and skewed clocks, operators who rotate, postpone, retire and
//! prune at random, and sessions that are sealed and opened at random replicas. Days pass in seconds, for the functions
//! of the ring take the time as an argument.
//!
//! The promise: while lag and skew together stay below the ring's propagation, no session is lost. The controls break one
//! rule each and must lose sessions, so that the promise is not kept by accident.

use std::sync::Arc;
use std::time::Duration;

use sealgate::aead::Algorithm;
use sealgate::clock::{Clock, UnixTime};
use sealgate::keyring::{CLOCK_SKEW, KeyId, KeyRing, Lookup, NewSettings, RingHandle};
use sealgate::metrics::Metrics;
use sealgate::seal::{Purpose, Sealer};

const START: UnixTime = UnixTime::from_secs(1_800_000_000);
const PROPAGATION: Duration = Duration::from_secs(600);
const MAX_SESSION: Duration = Duration::from_secs(8 * 3600);
const HOUR: u64 = 3600;
const STEP: Duration = Duration::from_secs(20);
const COOKIE: &str = "__Host-sealgate";

/// What an operator does wrong in a control.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mistake {
    None,
    /// Every rotation brings a ring with one new key alone.
    SecretReplaced,
    /// A new key seals wherever it arrives.
    NoStaging,
    /// Retired keys are removed an hour after their retirement.
    EarlyPrune,
    /// One replica gets every ring half an hour after the propagation.
    LateReplica,
}

#[derive(Clone, Copy, Debug)]
struct Plan {
    seed: u64,
    days: u64,
    replicas: u64,
    opens_a_step: u64,
    /// Whether cookies are really sealed, or key ids and key states decide.
    real: bool,
    mistake: Mistake,
}

/// What happened.
#[derive(Debug, Default)]
struct Tally {
    opens: u64,
    lost: u64,
    rotations: u64,
    postponements: u64,
    retirements: u64,
    prunings: u64,
    refusals: u64,
}

/// SplitMix64 (Steele, Lea and Flood 2014, figure 15): the same run for the same seed on every machine.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`.
    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    fn seconds_below(&mut self, end: u64) -> Duration {
        Duration::from_secs(self.below(end))
    }

    fn one_in(&mut self, chances: u64) -> bool {
        self.below(chances) == 0
    }

    fn index<T>(&mut self, things: &[T]) -> usize {
        usize::try_from(self.below(things.len() as u64)).expect("below a length")
    }
}

/// A session's cookie, or all of it that counts when nothing is really sealed.
enum Cookie {
    Sealed(String),
    Key(KeyId),
}

struct Session {
    cookie: Cookie,
    absolute_end: UnixTime,
}

struct Replica {
    /// How far its clock is ahead of the slowest.
    ahead: Duration,
    /// The ring in use.
    ring: Arc<KeyRing>,
    /// Rings on their way, and when they are there.
    arriving: Vec<(UnixTime, Arc<KeyRing>)>,
    sealer: Option<(Sealer, Clock)>,
}

impl Replica {
    fn new(ring: &Arc<KeyRing>, ahead: Duration, real: bool) -> Self {
        let mut replica = Self { ahead, ring: ring.clone(), arriving: Vec::new(), sealer: None };
        replica.take(ring.clone(), START, real);
        replica
    }

    fn take(&mut self, ring: Arc<KeyRing>, now: UnixTime, real: bool) {
        if real {
            let clock = Clock::manual(now.plus(self.ahead));
            let origin = "https://app.example.com".parse().expect("an origin");
            let handle = RingHandle::fixed((*ring).clone());
            self.sealer = Some((Sealer::new(handle, origin, clock.clone(), Metrics::default()), clock));
        }
        self.ring = ring;
    }

    /// Takes the rings that have arrived; as in the product, an older one never replaces a newer one.
    fn receive(&mut self, now: UnixTime, real: bool) {
        let (due, later): (Vec<_>, Vec<_>) = self.arriving.drain(..).partition(|(at, _)| *at <= now);
        self.arriving = later;
        let newest = due.into_iter().map(|(_, ring)| ring).max_by_key(|ring| ring.generation());
        if let Some(ring) = newest.filter(|ring| ring.generation() > self.ring.generation()) {
            self.take(ring, now, real);
        }
    }

    fn sealer(&self, now: UnixTime) -> Option<&Sealer> {
        let (sealer, clock) = self.sealer.as_ref()?;
        clock.advance(clock.now().until(now.plus(self.ahead)));
        Some(sealer)
    }

    fn seal(&self, now: UnixTime) -> Cookie {
        match self.sealer(now) {
            Some(sealer) => Cookie::Sealed(sealer.seal(Purpose::Session, COOKIE, b"tokens").expect("a primary key")),
            None => Cookie::Key(self.ring.primary(now.plus(self.ahead)).expect("a primary key").kid()),
        }
    }

    fn opens(&self, cookie: &Cookie, now: UnixTime) -> bool {
        match (cookie, self.sealer(now)) {
            (Cookie::Sealed(value), Some(sealer)) => {
                sealer.open(Purpose::Session, COOKIE, value).is_ok_and(|opened| opened.as_slice() == b"tokens")
            }
            (Cookie::Key(kid), None) => matches!(self.ring.find(*kid, now.plus(self.ahead)), Lookup::Usable(..)),
            _ => panic!("cookies are sealed everywhere or nowhere"),
        }
    }
}

struct World {
    plan: Plan,
    random: Random,
    now: UnixTime,
    /// The file as the operators have it.
    ring: Arc<KeyRing>,
    replicas: Vec<Replica>,
    /// The clocks of the machines on which the commands run, ahead of the slowest.
    operators: [Duration; 2],
    lag: Duration,
    sessions: Vec<Session>,
    tally: Tally,
}

fn simulate(plan: Plan) -> Tally {
    let mut world = World::new(plan);
    while START.until(world.now) < Duration::from_secs(plan.days * 24 * HOUR) {
        world.step();
    }
    world.tally
}

impl World {
    fn new(plan: Plan) -> Self {
        let mut random = Random(plan.seed);
        let ring = KeyRing::generate(Algorithm::default(), PROPAGATION, MAX_SESSION, START).expect("valid settings");
        let ring = Arc::new(ring);
        // Together below the propagation, by a second at least.
        let skew = random.seconds_below(CLOCK_SKEW.as_secs() + 1);
        let lag = random.seconds_below((PROPAGATION - skew).as_secs());
        let mut ahead = || random.seconds_below(skew.as_secs() + 1);
        let replicas = (0..plan.replicas).map(|_| Replica::new(&ring, ahead(), plan.real)).collect();
        let operators = [ahead(), ahead()];
        Self {
            plan,
            random,
            now: START.plus(CLOCK_SKEW),
            ring,
            replicas,
            operators,
            lag,
            sessions: Vec::new(),
            tally: Tally::default(),
        }
    }

    fn step(&mut self) {
        self.now = self.now.plus(STEP);
        for replica in &mut self.replicas {
            replica.receive(self.now, self.plan.real);
        }
        if self.random.one_in(15 * 60 / STEP.as_secs()) {
            self.operate();
        }
        if self.plan.mistake == Mistake::EarlyPrune {
            self.prune_an_hour_after_retirement();
        }
        let replica = self.random.index(&self.replicas);
        self.log_in(replica);
        for _ in 0..self.plan.opens_a_step {
            self.request();
        }
    }

    fn log_in(&mut self, replica: usize) {
        let replica = &self.replicas[replica];
        let absolute_end = self.now.plus(replica.ahead).plus(replica.ring.max_session());
        self.sessions.push(Session { cookie: replica.seal(self.now), absolute_end });
    }

    /// One request of one session; a fourth of them refresh, so that the cookie is sealed again.
    fn request(&mut self) {
        // Those that have just logged in are the busiest.
        let newest = if self.random.one_in(2) { self.sessions.len().saturating_sub(20) } else { 0 };
        let at = newest + self.random.index(&self.sessions[newest..]);
        let replica = &self.replicas[self.random.index(&self.replicas)];
        if self.sessions[at].absolute_end <= self.now.plus(replica.ahead) {
            self.sessions.swap_remove(at);
            return self.log_in(at % self.replicas.len());
        }
        self.tally.opens += 1;
        if !replica.opens(&self.sessions[at].cookie, self.now) {
            self.tally.lost += 1;
            self.sessions.swap_remove(at);
            return self.log_in(at % self.replicas.len());
        }
        if self.random.one_in(4) {
            self.sessions[at].cookie = replica.seal(self.now);
        }
    }

    /// One command, on either machine; a refusal leaves the ring as it was.
    fn operate(&mut self) {
        let now = self.now.plus(self.operators[self.random.index(&self.operators)]);
        let mut ring = (*self.ring).clone();
        let done = match self.random.below(8) {
            0..=2 => self.rotate(&mut ring, now),
            3 => self.postpone(&mut ring, now),
            4..=5 => {
                let primary = ring.primary(now).map(|key| key.kid());
                let retired = primary.is_some_and(|kid| ring.retire(kid, now).is_ok());
                self.tally.retirements += u64::from(retired);
                retired
            }
            _ => {
                let pruned = !ring.prune(now).is_empty();
                self.tally.prunings += u64::from(pruned);
                pruned
            }
        };
        if done { self.publish(ring) } else { self.tally.refusals += 1 }
    }

    fn rotate(&mut self, ring: &mut KeyRing, now: UnixTime) -> bool {
        let activate_after = self.random.one_in(2).then(|| PROPAGATION + self.random.seconds_below(6 * HOUR));
        match self.plan.mistake {
            Mistake::SecretReplaced if self.random.one_in(4) => *ring = with_one_new_key(ring),
            Mistake::SecretReplaced => return false,
            Mistake::NoStaging => match ring.rotate(now, None, None, "") {
                Ok(kid) => *ring = activated_at_once(ring, kid, now),
                Err(_) => return false,
            },
            Mistake::EarlyPrune if ring.rotate(now, activate_after, None, "").is_err() => return false,
            Mistake::None | Mistake::LateReplica => {
                let hours = [4, 8, 12][self.random.index(&[(); 3])];
                let max_session = self.random.one_in(3).then(|| Duration::from_secs(hours * HOUR));
                let settings = NewSettings { propagation: None, max_session };
                if ring.rotate_with(settings, now, activate_after, None, "").is_err() {
                    return false;
                }
            }
            _ => {}
        }
        self.tally.rotations += 1;
        true
    }

    fn postpone(&mut self, ring: &mut KeyRing, now: UnixTime) -> bool {
        let by = self.random.one_in(2).then(|| Duration::from_secs(1) + self.random.seconds_below(2 * HOUR));
        let staged = ring.staged(now).map(|key| key.kid());
        let postponed = staged.is_some_and(|kid| ring.postpone(kid, by, now).is_ok());
        self.tally.postponements += u64::from(postponed);
        postponed
    }

    fn prune_an_hour_after_retirement(&mut self) {
        let mut ring = (*self.ring).clone();
        let later = self.now.plus(MAX_SESSION + PROPAGATION + CLOCK_SKEW - Duration::from_secs(HOUR));
        // A staged key would count as primary at the later time, and the one that seals as retired.
        if ring.staged(self.now).is_none() && !ring.prune(later).is_empty() {
            self.publish(ring);
        }
    }

    /// Sends the file to every replica; each has it after a time of its own.
    fn publish(&mut self, ring: KeyRing) {
        self.ring = Arc::new(KeyRing::parse(&ring.to_json()).expect("a ring that readers take"));
        for (at, replica) in self.replicas.iter_mut().enumerate() {
            let lag = match self.plan.mistake {
                Mistake::LateReplica if at == 0 => PROPAGATION + Duration::from_secs(HOUR / 2),
                _ => self.random.seconds_below(self.lag.as_secs() + 1),
            };
            replica.arriving.push((self.now.plus(lag), self.ring.clone()));
        }
    }
}

/// The next generation, with a new key in place of all others, which seals by every clock.
fn with_one_new_key(ring: &KeyRing) -> KeyRing {
    let new = KeyRing::generate(Algorithm::default(), PROPAGATION, MAX_SESSION, START).expect("valid settings");
    edited(&new, |json| json["generation"] = (ring.generation() + 1).into())
}

fn activated_at_once(ring: &KeyRing, kid: KeyId, now: UnixTime) -> KeyRing {
    edited(ring, |json| {
        let keys = json["keys"].as_array_mut().expect("a list");
        let key = keys.iter_mut().find(|key| key["kid"] == kid.to_string()).expect("it was staged");
        key["not_before"] = now.to_string().into();
    })
}

fn edited(ring: &KeyRing, edit: impl FnOnce(&mut serde_json::Value)) -> KeyRing {
    let mut json = serde_json::from_slice(&ring.to_json()).expect("JSON");
    edit(&mut json);
    KeyRing::parse(json.to_string().as_bytes()).expect("a valid ring")
}

fn plan(seed: u64) -> Plan {
    Plan { seed, days: 3, replicas: 2 + seed % 5, opens_a_step: 7, real: false, mistake: Mistake::None }
}

/// SP 800-57-1 §5.3.4: a key opens for as long as anything that it sealed may be presented.
#[test]
fn no_session_is_lost_while_lag_and_skew_stay_below_the_propagation() {
    let mut all = Tally::default();
    for seed in 0..20 {
        let tally = simulate(plan(seed));
        assert_eq!(tally.lost, 0, "seed {seed}: {tally:?}");
        assert!(tally.rotations > 5 && tally.refusals > 5, "seed {seed}: {tally:?}");
        all.opens += tally.opens;
        all.postponements += tally.postponements;
        all.retirements += tally.retirements;
        all.prunings += tally.prunings;
    }
    assert!(all.opens >= 1_000_000, "{all:?}");
    assert!(all.postponements > 50 && all.retirements > 50 && all.prunings > 50, "{all:?}");
}

#[test]
fn no_really_sealed_session_is_lost_either() {
    let mut opens = 0;
    for seed in 100..103 {
        let tally = simulate(Plan { days: 1, opens_a_step: 2, real: true, ..plan(seed) });
        assert_eq!(tally.lost, 0, "seed {seed}: {tally:?}");
        assert!(tally.rotations > 1, "seed {seed}: {tally:?}");
        opens += tally.opens;
    }
    assert!(opens >= 10_000, "{opens}");
}

/// The sessions that three runs with this mistake lose.
fn lost_with(mistake: Mistake) -> u64 {
    let tallies: Vec<_> = (200..203).map(|seed| simulate(Plan { days: 2, mistake, ..plan(seed) })).collect();
    assert!(tallies.iter().all(|tally| tally.rotations > 0), "{tallies:?}");
    tallies.iter().map(|tally| tally.lost).sum()
}

#[test]
fn control_a_secret_that_is_replaced_loses_sessions() {
    assert!(lost_with(Mistake::SecretReplaced) > 0);
}

#[test]
fn control_a_key_that_seals_wherever_it_arrives_loses_sessions() {
    assert!(lost_with(Mistake::NoStaging) > 0);
}

#[test]
fn control_a_retired_key_that_is_pruned_early_loses_sessions() {
    assert!(lost_with(Mistake::EarlyPrune) > 0);
}

#[test]
fn control_a_replica_that_is_later_than_the_propagation_loses_sessions() {
    assert!(lost_with(Mistake::LateReplica) > 0);
}

/// The controls differ from the promise in their mistake alone.
#[test]
fn the_runs_of_the_controls_lose_nothing_without_their_mistake() {
    assert_eq!(lost_with(Mistake::None), 0);
}
