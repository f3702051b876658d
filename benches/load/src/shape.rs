//! Which topics each client wants. In: the plan. Out: indexes of topics for one client, the same for the same seed whoever asks.
//! Bounded by the topics.

use crate::plan::{Plan, Shape};

/// Spreads the plan's topics.
#[derive(Clone, Debug)]
pub struct Spread {
    shape: Shape,
    per_client: usize,
    seed: u64,
    /// Topics in the order in which they are given out.
    order: Vec<u32>,
    /// Running sums of the topics' weights (Zipf only).
    cumulative: Vec<f64>,
}

impl Spread {
    pub fn new(plan: &Plan) -> Self {
        let mut order: Vec<u32> = (0..plan.topics.len() as u32).collect();
        // Neighbours in name are often neighbours in activity; "the first ones" are meant as they were given.
        if matches!(plan.shape, Shape::Uniform | Shape::Zipf) {
            fastrand::Rng::with_seed(plan.seed).shuffle(&mut order);
        }
        let mut sum = 0.0;
        let weights = (1..=order.len()).map(|rank| {
            sum += 1.0 / rank as f64;
            sum
        });
        let cumulative = if plan.shape == Shape::Zipf { weights.collect() } else { Vec::new() };
        Self {
            shape: plan.shape,
            per_client: plan.topics_per_client.clamp(1, order.len().max(1)),
            seed: plan.seed,
            order,
            cumulative,
        }
    }

    /// Distinct indexes into the plan's topics.
    pub fn of(&self, client: usize) -> Vec<u32> {
        let all = self.order.len();
        let first = self.per_client.min(all);
        match self.shape {
            Shape::AllOnOne => self.order[..first].to_vec(),
            Shape::Many => self.order.clone(),
            Shape::Uniform => (0..first).map(|at| self.order[(client * self.per_client + at) % all]).collect(),
            Shape::Zipf if first == all => self.order.clone(),
            Shape::Zipf => self.drawn(client),
        }
    }

    fn drawn(&self, client: usize) -> Vec<u32> {
        // Each client has numbers of its own, so that it does not matter which process runs it.
        let mut random = fastrand::Rng::with_seed(self.seed ^ (client as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let total = self.cumulative.last().copied().unwrap_or(0.0);
        let mut taken = Vec::with_capacity(self.per_client);
        while taken.len() < self.per_client {
            let drawn = random.f64() * total;
            let rank = self.cumulative.partition_point(|sum| *sum <= drawn).min(self.order.len() - 1);
            let mut topic = self.order[rank];
            // Held already: the next one that is not, so that a client of nearly all topics does not draw for ever.
            let mut next = rank;
            while taken.contains(&topic) {
                next = (next + 1) % self.order.len();
                topic = self.order[next];
            }
            taken.push(topic);
        }
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn spread(shape: Shape, topics: usize, per_client: usize) -> Spread {
        let topics = (0..topics).map(|at| format!("quote/sim:S{at}")).collect();
        Spread::new(&Plan { topics, topics_per_client: per_client, shape, ..crate::test_plan() })
    }

    fn counts(spread: &Spread, clients: usize, topics: usize) -> Vec<usize> {
        let mut counts = vec![0; topics];
        for client in 0..clients {
            let topics = spread.of(client);
            assert_eq!(topics.iter().collect::<BTreeSet<_>>().len(), topics.len(), "no topic twice");
            topics.iter().for_each(|topic| counts[*topic as usize] += 1);
        }
        counts
    }

    #[test]
    fn uniform_is_even() {
        assert_eq!(counts(&spread(Shape::Uniform, 100, 10), 1_000, 100), vec![100; 100]);
        assert_eq!(counts(&spread(Shape::Uniform, 4, 10), 5, 4), vec![5; 4], "there are no more than all");
    }

    #[test]
    fn all_on_one_is_the_first_and_many_is_all() {
        assert_eq!(counts(&spread(Shape::AllOnOne, 5, 1), 9, 5), [9, 0, 0, 0, 0]);
        assert_eq!(counts(&spread(Shape::Many, 5, 1), 9, 5), [9; 5]);
    }

    #[test]
    fn zipf_has_a_few_that_many_want() {
        let spread = spread(Shape::Zipf, 200, 3);
        let mut counts = counts(&spread, 2_000, 200);
        assert_eq!(counts.iter().sum::<usize>(), 6_000);
        counts.sort_unstable_by(|one, other| other.cmp(one));
        assert!(counts[0] > 600 && counts[0] > 20 * counts[100].max(1), "{counts:?}");
        assert_eq!(spread.of(17), spread.of(17));
    }

    #[test]
    fn zipf_of_nearly_all_ends() {
        assert_eq!(spread(Shape::Zipf, 50, 49).of(3).len(), 49);
    }
}
