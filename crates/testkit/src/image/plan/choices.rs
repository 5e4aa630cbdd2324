//! Choices that bytes make.

/// Turns bytes into choices, one after the other. Any bytes will do; when they are used up, all that is chosen is
/// the first there is.
#[derive(Debug, Clone)]
pub(super) struct Choices<'a>(&'a [u8]);

impl<'a> Choices<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    /// A number below `bound`, which is at least 1 and at most 65536.
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        let number = u64::from(self.byte());
        let number = if bound > 256 { number << 8 | u64::from(self.byte()) } else { number };
        number % bound
    }

    pub(super) fn flag(&mut self) -> bool {
        self.below(2) == 1
    }

    /// True once in `n` times.
    pub(super) fn rarely(&mut self, n: u64) -> bool {
        self.below(n) == n - 1
    }

    pub(super) fn bits32(&mut self) -> u32 {
        u32::from_be_bytes([self.byte(), self.byte(), self.byte(), self.byte()])
    }

    pub(super) fn one_of<T: Copy>(&mut self, of: &[T]) -> T {
        of[usize::try_from(self.below(of.len() as u64)).expect("it is short")]
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn choices_end_with_the_first_there_is() {
        let mut choices = Choices::new(&[5, 1, 2]);
        assert_eq!((choices.below(4), choices.below(1000), choices.is_empty()), (1, 258, true));
        assert_eq!((choices.below(7), choices.flag(), choices.one_of(&["a", "b"])), (0, false, "a"));
    }
}
