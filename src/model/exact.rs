//! Logarithm and exponential that are the same on every platform.
//!
//! Those of the standard library are the platform's, and differ in the last digit; a decision must
//! not. These are made of the four operations alone, which are exact everywhere. Good to about one
//! part in 10^15.

use std::f64::consts::LN_2;
use std::f64::consts::SQRT_2;

/// Bits of a number's fraction, and what is added to its exponent.
const FRACTION: u32 = 52;
const BIAS: i64 = 1023;
/// Beyond this `exp` is nothing, or everything.
const FAR: f64 = 700.0;

/// The natural logarithm. Zero, what is negative and what is too small to be normal give minus
/// infinity.
#[must_use]
pub fn ln(x: f64) -> f64 {
    if x < f64::MIN_POSITIVE {
        return f64::NEG_INFINITY;
    }
    // x = m * 2^e with m around 1; then ln m = 2 artanh((m - 1) / (m + 1)).
    let bits = x.to_bits();
    let mut e = (bits >> FRACTION) as i64 - BIAS;
    let fraction = bits & ((1 << FRACTION) - 1);
    let mut m = f64::from_bits(fraction | ((BIAS as u64) << FRACTION));
    if m > SQRT_2 {
        m /= 2.0;
        e += 1;
    }
    let s = (m - 1.0) / (m + 1.0);
    let square = s * s;
    let series = (0..13).rev().fold(0.0, |sum, k| sum * square + 1.0 / f64::from(2 * k + 1));
    e as f64 * LN_2 + 2.0 * s * series
}

/// e to the power of `x`; nothing below -700, infinity above 700.
#[must_use]
pub fn exp(x: f64) -> f64 {
    if x < -FAR {
        return 0.0;
    }
    if x > FAR {
        return f64::INFINITY;
    }
    // x = k ln 2 + r with a small r.
    let k = (x / LN_2 + if x < 0.0 { -0.5 } else { 0.5 }) as i64;
    let r = x - k as f64 * LN_2;
    let series = (1..19).rev().fold(1.0, |sum, n| 1.0 + sum * r / f64::from(n));
    series * f64::from_bits(((BIAS + k) as u64) << FRACTION)
}

#[cfg(test)]
mod tests {
    use super::exp;
    use super::ln;

    #[test]
    fn they_are_what_they_are_called() {
        let near = |found: f64, wanted: f64| {
            assert!((found - wanted).abs() <= 4e-15 * wanted.abs().max(1.0), "{found} {wanted}");
        };
        for n in 1..2000 {
            let x = f64::from(n) * 0.0037;
            near(ln(x), x.ln());
            near(exp(-x), (-x).exp());
            near(ln(exp(x)), x);
        }
        near(ln(1e-6), 1e-6_f64.ln());
        near(ln(1e300), 1e300_f64.ln());
        assert_eq!((ln(1.0), exp(0.0)), (0.0, 1.0));
        assert_eq!((ln(0.0), ln(-1.0)), (f64::NEG_INFINITY, f64::NEG_INFINITY));
        assert_eq!((exp(-1e9), exp(1e9)), (0.0, f64::INFINITY));
    }

    /// The very bits, so that a platform that differs is noticed.
    #[test]
    fn they_are_the_same_everywhere() {
        let mut hash = 0xcbf2_9ce4_8422_2325_u64;
        for n in 1..1000 {
            let x = f64::from(n) / 997.0;
            for bits in [ln(x).to_bits(), exp(-x * 30.0).to_bits()] {
                hash = (hash ^ bits).wrapping_mul(0x0100_0000_01b3);
            }
        }
        assert_eq!(hash, 0x645f_8a55_01e6_43be);
    }
}
