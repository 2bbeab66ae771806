//! Doubles times powers of ten, to 96 bits.

use std::cmp::Ordering;

const TOP_BIT: u64 = 1 << 63;

/// `d` and `p` with `x` = `d` × 10^`p`, about; `d` has 18 or 19 digits.
pub(super) fn eighteen_digits(x: f64) -> (u64, i32) {
    let bits = x.to_bits();
    let mantissa = bits & ((1 << 52) - 1);
    let biased = i32::try_from(bits >> 52 & 0x7ff).expect("11 bits");
    let (mantissa, e) = if biased == 0 {
        let zeros = mantissa.leading_zeros();
        (mantissa << zeros, -1074 - zeros.cast_signed())
    } else {
        (mantissa << 11 | TOP_BIT, biased - 1086)
    };
    let p = 17 - log10_of_2_to(e + 63);
    let product = u128::from(mantissa) * u128::from(power_of_ten(p).0);
    let high = (product >> 64) as u64 >> -(e + log2_of_10_to(p) + 2);
    ((high + (high << 1 & 2)) >> 1, -p)
}

/// The double next to `d` × 10^`p`; `d` is not 0.
pub(super) fn nearest(d: u64, p: i32) -> f64 {
    match p.cmp(&POWERS.0) {
        Ordering::Less => return 0.0,
        _ if p > POWERS.1 => return f64::INFINITY,
        _ => {}
    }
    let zeros = d.leading_zeros().cast_signed();
    let log = log2_of_10_to(p);
    let mut e = 53 - (64 - zeros) - log;
    if e >= 1130 {
        return 0.0;
    }
    e = e.min(1074);
    let shift = -(e - zeros + log + 3);
    let (mut u, carried) = (scaled(d << zeros, p, shift), 1u64 << 55);
    if u >= carried - 2 {
        u = u >> 1 | u & 1;
        e -= 1;
    }
    let m = (u + 1 + (u >> 2 & 1)) >> 2;
    if e <= -972 {
        return f64::INFINITY;
    }
    let hidden = 1 << 52;
    if m & hidden == 0 {
        return f64::from_bits(m);
    }
    f64::from_bits(m & !hidden | u64::try_from(1075 - e).expect("e is at most 1074") << 52)
}

/// The top bits of `x` × 10^`p`, the lowest of them set if anything was cut off.
fn scaled(x: u64, p: i32, shift: i32) -> u64 {
    let (mut power, mut rest) = power_of_ten(p);
    if rest != 0 {
        // From here the power is the next one up, less the rest.
        power += 1;
        rest = !rest;
    }
    let product = u128::from(x) * u128::from(power);
    let mut high = (product >> 64) as u64;
    let mut sticky = true;
    if high & ((1 << shift) - 1) == 0 {
        let middle = (product >> 32) as u32;
        let less = ((u128::from(x) * (u128::from(rest) << 32)) >> 96) as u32;
        sticky = middle.wrapping_sub(less) > 1;
        high -= u64::from(middle < less);
    }
    high >> shift | u64::from(sticky)
}

/// The smallest and the greatest power that matters.
const POWERS: (i32, i32) = (-348, 347);

/// The 64 highest bits of 10^`p`, and the next 32.
fn power_of_ten(p: i32) -> (u64, u32) {
    if let Ok(n @ 0..27) = usize::try_from(p) {
        return (small_power(n), 0);
    }
    let split = |power: u128| ((power >> 32) as u64, power as u32);
    if p == -1 {
        return split(EVERY_27TH[13]);
    }
    let great = EVERY_27TH[usize::try_from(p.div_euclid(27) + 13).expect("the power is in range")];
    let n = usize::try_from(p.rem_euclid(27)).expect("a remainder");
    if n == 0 {
        return split(great);
    }
    let (high, low) = split(great);
    let small = u128::from(small_power(n));
    let product = u128::from(high) * small + ((u128::from(low) * small) >> 32);
    let (x, low) = ((product >> 64) as u64, (product >> 32) as u32);
    if x & TOP_BIT == 0 { (x << 1 | u64::from(low >> 31), low << 1 | 1) } else { (x, low) }
}

/// 10^`n` with its highest bit in the highest place; exact up to 27.
fn small_power(n: usize) -> u64 {
    let power = 10u128.pow(n as u32);
    (power << power.leading_zeros() >> 64) as u64
}

fn log2_of_10_to(p: i32) -> i32 {
    (p * 108_853) >> 15
}

fn log10_of_2_to(e: i32) -> i32 {
    (e * 78_913) >> 18
}

/// 10^(27·(i−13)) to 96 bits, rounded; in the place of 10^0 stands 10^−1, cut off.
#[rustfmt::skip]
const EVERY_27TH: [u128; 26] = [
    0x8049a4ac_0c5811ae_205b896d, // 1e-351
    0xcf42894a_5dce35ea_52064cad, // 1e-324
    0xa76c5823_38ed2621_af2af2b8, // 1e-297
    0x873e4f75_e2224e68_5a7744a7, // 1e-270
    0xda7f5bf5_90966848_af39a475, // 1e-243
    0xb080392c_c4349dec_bd8d794e, // 1e-216
    0x8e938662_882af53e_547eb47b, // 1e-189
    0xe65829b3_046b0afa_0cb4a5a3, // 1e-162
    0xba121a46_50e4ddeb_92f34d62, // 1e-135
    0x964e858c_91ba2655_3a6a07f9, // 1e-108
    0xf2d56790_ab41c2a2_fae27299, // 1e-81
    0xc428d05a_a4751e4c_aa97e14c, // 1e-54
    0x9e74d1b7_91e07e48_775ea265, // 1e-27
    0xcccccccc_cccccccc_cccccccc, // 1e-1
    0xcecb8f27_f4200f3a_00000000, // 1e27
    0xa70c3c40_a64e6c51_999090b6, // 1e54
    0x86f0ac99_b4e8dafd_69a028bb, // 1e81
    0xda01ee64_1a708de9_e80e6f48, // 1e108
    0xb01ae745_b101e9e4_5ec05dd0, // 1e135
    0x8e41ade9_fbebc27d_14588f14, // 1e162
    0xe5d3ef28_2a242e81_8f1668c9, // 1e189
    0xb9a74a06_37ce2ee1_6d953e2c, // 1e216
    0x95f83d0a_1fb69cd9_4abdaf10, // 1e243
    0xf24a01a7_3cf2dccf_bc633b39, // 1e270
    0xc3b83581_09e84f07_0a862f81, // 1e297
    0x9e19db92_b4e31ba9_6c07a2c2, // 1e324
];
