//! Smooth weighted round robin as a table worked out in advance.
//!
//! Owns the order of turns. Pure; a request costs one index into the table. The order is that of
//! nginx's algorithm: of weights 5, 1, 1 it makes a a b a c a a, never five in a row.

/// The order in which servers take their turns: indexes into the weights given, one round.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Turns(Vec<u16>);

impl Turns {
    pub(super) fn new(weights: &[u16]) -> Self {
        Self(round(weights))
    }

    /// Whose turn it is.
    pub(super) fn at(&self, turn: usize) -> Option<u16> {
        self.0.get(turn.checked_rem(self.0.len())?).copied()
    }
}

/// One round of the smooth algorithm, with weights divided by their greatest common divisor.
fn round(weights: &[u16]) -> Vec<u16> {
    let divisor = weights.iter().fold(0, |divisor, weight| gcd(divisor, *weight)).max(1);
    let weights: Vec<i64> = weights.iter().map(|weight| i64::from(weight / divisor)).collect();
    let total: i64 = weights.iter().sum();
    // A round this long is cut: the tail only evens out proportions that are met already.
    let turns = total.clamp(0, MAX_ROUND);
    let mut credit = vec![0_i64; weights.len()];
    (0..turns).filter_map(|_| take_turn(&mut credit, &weights, total)).collect()
}

fn take_turn(credit: &mut [i64], weights: &[i64], total: i64) -> Option<u16> {
    credit.iter_mut().zip(weights).for_each(|(credit, weight)| *credit += weight);
    // The first of equals, so that equal weights go in the order of the file.
    let (index, best) = credit.iter_mut().enumerate().rev().max_by_key(|(_, credit)| **credit)?;
    *best -= total;
    u16::try_from(index).ok()
}

const fn gcd(mut a: u16, mut b: u16) -> u16 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

const MAX_ROUND: i64 = 65_536;

#[cfg(test)]
mod tests {
    use super::*;

    fn order(weights: &[u16]) -> Vec<u16> {
        Turns::new(weights).0
    }

    #[test]
    fn spreads_a_heavy_server_over_the_round() {
        assert_eq!(order(&[5, 1, 1]), [0, 0, 1, 0, 2, 0, 0]);
        assert_eq!(order(&[1, 1, 1]), [0, 1, 2]);
        assert_eq!(order(&[20, 10]), [0, 1, 0]);
        assert!(order(&[]).is_empty());
    }

    #[test]
    fn gives_each_server_its_share() {
        let order = order(&[7, 3, 5]);
        let share = |server: u16| order.iter().filter(|index| **index == server).count();
        assert_eq!((share(0), share(1), share(2)), (7, 3, 5));
    }

    #[test]
    fn nobody_has_a_turn_when_there_is_nobody() {
        assert_eq!(Turns::new(&[]).at(7), None);
    }
}
