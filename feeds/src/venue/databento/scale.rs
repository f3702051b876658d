//! DBN's prices, all in 1e-9, at the exponent of their instrument. In: such a price. Out: a mantissa, exact, or the exponent it needs.
//! Pure arithmetic.

use dbn::UNDEF_PRICE;

/// What a price of an instrument without a definition has at least: cents.
pub(super) const USUAL_EXPONENT: i8 = -2;
pub(super) const FINEST_EXPONENT: i8 = -9;

const POWERS: [i64; 10] = [1, 10, 100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000, 1_000_000_000];

/// `None` for a price that is not there.
pub(super) fn defined(price: i64) -> Option<i64> {
    (price != UNDEF_PRICE).then_some(price)
}

/// What one unit at `exponent` (-9 to 0) is in 1e-9.
pub(super) fn unit(exponent: i8) -> i64 {
    POWERS[usize::try_from(exponent - FINEST_EXPONENT).map_or(0, |power| power.min(9))]
}

pub(super) fn fits(price: i64, exponent: i8) -> bool {
    price % unit(exponent) == 0
}

/// The coarsest exponent from -9 to 0 that holds `price` exactly.
pub(super) fn needs(price: i64) -> i8 {
    (FINEST_EXPONENT..=0).rev().find(|exponent| fits(price, *exponent)).unwrap_or(FINEST_EXPONENT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_price_has_the_exponent_it_needs() {
        for (price, exponent) in
            [(4_799_000_000_000, 0), (4_799_250_000_000, -2), (1, -9), (-37_630_000_000, -2), (0, 0), (i64::MIN, -9)]
        {
            assert_eq!(needs(price), exponent, "{price}");
            assert!(fits(price, exponent));
        }
        assert_eq!(4_799_250_000_000 / unit(-2), 479_925);
        assert_eq!(defined(i64::MAX), None);
    }
}
