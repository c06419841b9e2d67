//! Instruction sets, and which of them this processor has.

// In this module alone: no other can name the standard library.
#[cfg(all(feature = "std", target_arch = "x86_64"))]
extern crate std;

/// An instruction set that kernels are compiled for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Isa {
    /// What every processor of the architecture has.
    Scalar,
    /// AArch64 Advanced SIMD.
    Neon,
    /// x86-64 AVX2 with FMA and F16C.
    Avx2,
    /// x86-64 AVX-512 F, BW, DQ and VL, beside AVX2.
    Avx512,
}

impl Isa {
    /// Every instruction set, the plainest first.
    pub const ALL: [Isa; 4] = [Isa::Scalar, Isa::Neon, Isa::Avx2, Isa::Avx512];

    /// The name used in reports: `scalar`, `neon`, `avx2`, `avx512`.
    pub const fn name(self) -> &'static str {
        match self {
            Isa::Scalar => "scalar",
            Isa::Neon => "neon",
            Isa::Avx2 => "avx2",
            Isa::Avx512 => "avx512",
        }
    }

    /// Whether this processor has it. Without the feature `std` nobody asks the processor: what the build was compiled
    /// for (`-C target-feature`) is what there is.
    pub fn is_available(self) -> bool {
        match self {
            Isa::Scalar => true,
            Isa::Neon => cfg!(all(target_arch = "aarch64", target_feature = "neon")),
            Isa::Avx2 => avx2(),
            Isa::Avx512 => avx512(),
        }
    }

    /// Those this processor has, the plainest first.
    pub fn available() -> impl Iterator<Item = Isa> {
        Self::ALL.into_iter().filter(|isa| isa.is_available())
    }

    /// The widest that this processor has.
    pub fn best() -> Isa {
        Self::available().last().unwrap_or(Isa::Scalar)
    }
}

/// Whether a feature is there: asked of the processor, or of the build where there is no standard library.
#[cfg(target_arch = "x86_64")]
macro_rules! has {
    ($feature:tt) => {{
        #[cfg(feature = "std")]
        let has = std::arch::is_x86_feature_detected!($feature);
        #[cfg(not(feature = "std"))]
        let has = cfg!(target_feature = $feature);
        has
    }};
}

#[cfg(target_arch = "x86_64")]
fn avx2() -> bool {
    has!("avx2") && has!("fma") && has!("f16c")
}

#[cfg(target_arch = "x86_64")]
fn avx512() -> bool {
    avx2() && has!("avx512f") && has!("avx512bw") && has!("avx512dq") && has!("avx512vl")
}

#[cfg(not(target_arch = "x86_64"))]
fn avx2() -> bool {
    false
}

#[cfg(not(target_arch = "x86_64"))]
fn avx512() -> bool {
    false
}

/// Gives a kernel with the fields `isa` and `$field` its constructors, from what each of the modules `scalar`, `avx2`,
/// `avx512` and `neon` beside it calls `$loops`.
macro_rules! chosen_for_an_isa {
    ($kernel:ident, $field:ident: $type:ty = $loops:ident) => {
        impl $kernel {
            /// The variant for `isa`; `None` where this processor or this build does not have it.
            pub fn new(isa: $crate::Isa) -> Option<Self> {
                if !isa.is_available() {
                    return None;
                }
                let $field: $type = match isa {
                    $crate::Isa::Scalar => scalar::$loops,
                    #[cfg(target_arch = "x86_64")]
                    $crate::Isa::Avx2 => avx2::$loops,
                    #[cfg(target_arch = "x86_64")]
                    $crate::Isa::Avx512 => avx512::$loops,
                    #[cfg(target_arch = "aarch64")]
                    $crate::Isa::Neon => neon::$loops,
                    _ => return None,
                };
                Some(Self { isa, $field })
            }

            /// The widest variant of this processor.
            pub fn best() -> Self {
                $crate::Isa::available()
                    .filter_map(Self::new)
                    .last()
                    .unwrap_or(Self {
                        isa: $crate::Isa::Scalar,
                        $field: scalar::$loops,
                    })
            }

            /// The instruction set it was chosen for.
            pub fn isa(self) -> $crate::Isa {
                self.isa
            }
        }
    };
}

pub(crate) use chosen_for_an_isa;
