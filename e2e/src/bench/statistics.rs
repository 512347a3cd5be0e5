//! Few values in few words.

use std::fmt;

/// Smallest, middle and largest of some values.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Summary {
    /// How many values there were.
    pub count: usize,
    /// The smallest.
    pub minimum: f64,
    /// The middle one; of an even number the mean of the middle two.
    pub median: f64,
    /// The largest.
    pub maximum: f64,
}

impl Summary {
    /// Sums the values up; none where there is none.
    pub fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let (first, last) = (*values.first()?, *values.last()?);
        let middle = values.len() / 2;
        let median = if values.len().is_multiple_of(2) {
            f64::midpoint(values[middle - 1], values[middle])
        } else {
            values[middle]
        };
        Some(Self { count: values.len(), minimum: first, median, maximum: last })
    }
}

/// `3.21`, or `3.21 (1.02 to 9.87)` where the values differ.
impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { count, minimum, median, maximum } = self;
        if *count == 1 {
            return write!(f, "{median:.2}");
        }
        write!(f, "{median:.2} ({minimum:.2} to {maximum:.2})")
    }
}

/// A summary as a cell of a table; a dash for what was not seen.
pub fn cell(summary: Option<Summary>) -> String {
    summary.map_or_else(|| "-".to_owned(), |summary| summary.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle_whatever_the_order() {
        let odd = Summary::of([9.0, 1.0, 2.0]).unwrap();
        assert_eq!((odd.minimum, odd.median, odd.maximum), (1.0, 2.0, 9.0));
        assert_eq!(Summary::of([4.0, 1.0, 2.0, 9.0]).unwrap().median, 3.0);
        assert_eq!(Summary::of([]), None);
    }

    #[test]
    fn a_single_value_has_no_range() {
        assert_eq!(cell(Summary::of([2.5])), "2.50");
        assert_eq!(cell(Summary::of([2.0, 4.0])), "3.00 (2.00 to 4.00)");
        assert_eq!(cell(None), "-");
    }
}
