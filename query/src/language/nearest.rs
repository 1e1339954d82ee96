//! Which name somebody may have meant.
//!
//! Called by the parser for what is not a field.

/// Names that are longer are nobody's slip of the pen; bounds the work.
const NAME_MAX_CHARS: usize = 32;

/// Returns the name that is nearest to `written`, if one is near: a third of its characters may differ, and two may have changed places.
pub(super) fn nearest(written: &str, names: impl Iterator<Item = &'static str>) -> Option<&'static str> {
    let written: Vec<char> = written.chars().take(NAME_MAX_CHARS + 1).flat_map(char::to_lowercase).collect();
    if written.len() > NAME_MAX_CHARS {
        return None;
    }
    let distances = names.map(|name| (distance(&written, &name.chars().collect::<Vec<_>>()), name));
    let (distance, name) = distances.min_by_key(|(distance, _)| *distance)?;
    (distance * 3 <= name.len().max(3)).then_some(name)
}

/// Returns how many characters must be put in, taken out, replaced or swapped with their neighbour to make `b` of `a`.
fn distance(a: &[char], b: &[char]) -> usize {
    let mut before_last: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let replaced = last[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut least = replaced.min(last[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                least = least.min(before_last[j - 2] + 1);
            }
            row.push(least);
        }
        before_last = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn slips_find_the_name_and_other_words_none() {
        let names = ["service", "operation", "duration", "trace.root_service"];
        let of = |written| nearest(written, names.into_iter());
        assert_eq!(of("servcie"), Some("service"));
        assert_eq!(of("Service"), Some("service"));
        assert_eq!(of("durations"), Some("duration"));
        assert_eq!(of("trace.rootservice"), Some("trace.root_service"));
        assert_eq!(of("customer"), None);
        assert_eq!(of(""), None);
        assert_eq!(of(&"service".repeat(1000)), None);
    }
}
