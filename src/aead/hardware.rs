//! Which implementation of AES runs here: the processor's instructions or software.
//!
//! It repeats the choice that the `aes` crate makes at run time, for people to read. Must never choose anything itself.

use std::fmt;

use super::Algorithm;

/// The implementation of AES that this process uses. Hardware or software, both take the same time for every key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AesImplementation {
    /// VAES with AVX-512: four blocks an instruction (x86).
    VaesAvx512,
    /// VAES: two blocks an instruction (x86).
    Vaes,
    /// AES-NI: a block an instruction (x86).
    AesNi,
    /// The Cryptography Extensions (ARMv8).
    ArmV8,
    /// No instructions: some seventeen times slower, and xchacha20-poly1305 is the better choice.
    Software,
}

impl AesImplementation {
    /// What this processor and operating system allow.
    pub fn detect() -> Self {
        if cfg!(aes_backend = "soft") { Self::Software } else { Self::of_this_processor() }
    }

    #[cfg(any(target_arch = "x86_64", target_arch = "x86"))]
    fn of_this_processor() -> Self {
        use std::is_x86_feature_detected as has;
        Self::of_x86(has!("aes"), has!("vaes"), has!("avx512f"))
    }

    #[cfg(target_arch = "aarch64")]
    fn of_this_processor() -> Self {
        if std::arch::is_aarch64_feature_detected!("aes") { Self::ArmV8 } else { Self::Software }
    }

    #[cfg(not(any(target_arch = "x86_64", target_arch = "x86", target_arch = "aarch64")))]
    fn of_this_processor() -> Self {
        Self::Software
    }

    #[cfg(any(target_arch = "x86_64", target_arch = "x86", test))]
    fn of_x86(aes: bool, vaes: bool, avx512f: bool) -> Self {
        match (aes, vaes, avx512f) {
            (_, true, true) => Self::VaesAvx512,
            (_, true, false) => Self::Vaes,
            (true, false, _) => Self::AesNi,
            (false, false, _) => Self::Software,
        }
    }

    /// Whether the processor has instructions for AES.
    pub const fn is_hardware(self) -> bool {
        !matches!(self, Self::Software)
    }

    /// What to know and do where keys of `algorithm` seal; `None` where it suits this machine.
    pub const fn advice(self, algorithm: Algorithm) -> Option<&'static str> {
        match (self, algorithm) {
            (Self::Software, Algorithm::Xaes256Gcm) => Some(
                "AES runs in software here, where xaes-256-gcm takes some six times as long as xchacha20-poly1305; \
                 if all replicas are like this one, `sealgate keys rotate --algorithm xchacha20-poly1305` changes over",
            ),
            _ => None,
        }
    }
}

impl fmt::Display for AesImplementation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::VaesAvx512 => "VAES with AVX-512",
            Self::Vaes => "VAES",
            Self::AesNi => "AES-NI",
            Self::ArmV8 => "ARMv8 AES",
            Self::Software => "software",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_widest_instructions_are_named_and_none_is_software() {
        assert_eq!(AesImplementation::of_x86(true, true, true), AesImplementation::VaesAvx512);
        assert_eq!(AesImplementation::of_x86(true, true, false), AesImplementation::Vaes);
        assert_eq!(AesImplementation::of_x86(true, false, true), AesImplementation::AesNi);
        assert_eq!(AesImplementation::of_x86(false, false, false), AesImplementation::Software);
        assert!(AesImplementation::AesNi.is_hardware() && !AesImplementation::Software.is_hardware());
    }

    #[test]
    fn only_aes_in_software_is_advised_against() {
        let advice = AesImplementation::Software.advice(Algorithm::Xaes256Gcm).expect("an advice");
        assert!(advice.contains("keys rotate --algorithm xchacha20-poly1305"), "{advice}");
        assert_eq!(AesImplementation::Software.advice(Algorithm::XChaCha20Poly1305), None);
        assert_eq!(AesImplementation::AesNi.advice(Algorithm::Xaes256Gcm), None);
    }

    /// Linux says in its own way what the processor has.
    #[test]
    #[cfg(all(target_os = "linux", target_arch = "x86_64", not(aes_backend = "soft")))]
    fn what_is_detected_is_what_the_system_lists() {
        let listed = std::fs::read_to_string("/proc/cpuinfo").expect("Linux has it");
        let flags = listed.lines().find(|line| line.starts_with("flags")).expect("x86 has flags");
        let has = |flag: &str| flags.split_whitespace().any(|word| word == flag);
        let expected = AesImplementation::of_x86(has("aes"), has("vaes"), has("avx512f"));
        assert_eq!(AesImplementation::detect(), expected);
    }
}
