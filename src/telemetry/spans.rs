//! The spans that are open: each one's fields as text, its parent, and which of them this thread is in.
//!
//! It does what tracing-subscriber's registry does, for lines alone and at a third of the cost, which every request
//! bears. Must never format a value while it holds a lock: a value may log while it is shown.

use std::cell::RefCell;

use tracing::Metadata;
use tracing::span::Id;
use tracing_core::span::Current;

use super::shards::{SHARDS, Shards};

thread_local! {
    /// The spans that this thread is in, the innermost last.
    static ENTERED: RefCell<Vec<Id>> = const { RefCell::new(Vec::new()) };
}

/// All open spans.
#[derive(Default)]
pub(super) struct Spans(Shards<Slab>);

/// The spans that were opened by one thread.
#[derive(Default)]
struct Slab {
    slots: Vec<Slot>,
    /// Positions of slots whose span is closed.
    free: Vec<usize>,
}

/// A span, or the memory of one that is closed.
struct Slot {
    metadata: &'static Metadata<'static>,
    /// How many handles and children there are; zero: closed.
    references: usize,
    parent: Option<Id>,
    text: String,
}

impl Spans {
    /// Opens a span with these fields; `parent` stays open as long.
    pub(super) fn open(&self, metadata: &'static Metadata<'static>, parent: Option<Id>, fields: &str) -> Id {
        if let Some(parent) = &parent {
            self.hold(parent);
        }
        let shard = Shards::<Slab>::own_number();
        let slab = &mut *self.0.lock(shard);
        let position = match slab.free.pop() {
            Some(position) => {
                let slot = &mut slab.slots[position];
                (slot.metadata, slot.references, slot.parent) = (metadata, 1, parent);
                slot.text.push_str(fields);
                position
            }
            None => {
                slab.slots.push(Slot { metadata, references: 1, parent, text: fields.to_owned() });
                slab.slots.len() - 1
            }
        };
        id(shard, position)
    }

    /// One handle more.
    pub(super) fn hold(&self, id: &Id) {
        self.with(id, |slot| slot.references += 1);
    }

    /// One handle less; says whether it was the last, which closes the span.
    pub(super) fn release(&self, id: &Id) -> bool {
        let (shard, position) = place(id);
        let parent = {
            let slab = &mut *self.0.lock(shard);
            let Some(slot) = slab.slots.get_mut(position).filter(|slot| slot.references > 0) else { return false };
            slot.references -= 1;
            if slot.references > 0 {
                return false;
            }
            slot.text.clear();
            slab.free.push(position);
            slot.parent.take()
        };
        if let Some(parent) = parent {
            self.release(&parent);
        }
        true
    }

    /// Changes the text of a span's fields.
    pub(super) fn change(&self, id: &Id, change: impl FnOnce(&mut String)) {
        self.with(id, |slot| change(&mut slot.text));
    }

    /// Shows a span's name and fields, and before it, if wanted, those that it lies in, the outermost first.
    pub(super) fn show(&self, id: &Id, with_outer: bool, show: &mut impl FnMut(&'static str, &str)) {
        let outer = self.with(id, |slot| match &slot.parent {
            Some(parent) if with_outer => Some(parent.clone()),
            _ => {
                show(slot.metadata.name(), &slot.text);
                None
            }
        });
        if let Some(Some(outer)) = outer {
            self.show(&outer, true, show);
            self.with(id, |slot| show(slot.metadata.name(), &slot.text));
        }
    }

    /// The span that this thread is in, with what it was made by.
    pub(super) fn current(&self) -> Current {
        let current = Self::innermost();
        match current.and_then(|id| self.with(&id, |slot| Current::new(id.clone(), slot.metadata))) {
            Some(current) => current,
            None => Current::none(),
        }
    }

    /// The span that this thread is in.
    pub(super) fn innermost() -> Option<Id> {
        ENTERED.try_with(|entered| entered.borrow().last().cloned()).ok().flatten()
    }

    /// This thread is in the span now.
    pub(super) fn enter(id: &Id) {
        let _ = ENTERED.try_with(|entered| entered.borrow_mut().push(id.clone()));
    }

    /// And no longer.
    pub(super) fn exit(id: &Id) {
        let _ = ENTERED.try_with(|entered| {
            let mut entered = entered.borrow_mut();
            if let Some(position) = entered.iter().rposition(|other| other == id) {
                entered.remove(position);
            }
        });
    }

    /// Does something with an open span.
    fn with<T>(&self, id: &Id, act: impl FnOnce(&mut Slot) -> T) -> Option<T> {
        let (shard, position) = place(id);
        self.0.lock(shard).slots.get_mut(position).filter(|slot| slot.references > 0).map(act)
    }
}

/// Neither is ever zero.
fn id(shard: usize, position: usize) -> Id {
    Id::from_u64((position * SHARDS + shard) as u64 + 1)
}

fn place(id: &Id) -> (usize, usize) {
    let number = (id.into_u64() - 1) as usize;
    (number % SHARDS, number / SHARDS)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::thread;

    use tracing::Callsite as _;

    use super::*;

    fn metadata() -> &'static Metadata<'static> {
        tracing::callsite!(name: "span", kind: tracing::metadata::Kind::SPAN, fields:).metadata()
    }

    fn shown(spans: &Spans, id: &Id) -> Vec<String> {
        let mut shown = Vec::new();
        spans.show(id, true, &mut |_, fields| shown.push(fields.to_owned()));
        shown
    }

    #[test]
    fn a_closed_span_is_not_shown_and_the_next_has_nothing_of_it() {
        let spans = Spans::default();
        let first = spans.open(metadata(), None, "first");
        assert!(spans.release(&first));
        assert_eq!(shown(&spans, &first), [""; 0]);
        let second = spans.open(metadata(), None, "2nd");
        assert_eq!(second, first, "its memory is used again");
        assert_eq!(shown(&spans, &second), ["2nd"]);
    }

    #[test]
    fn a_span_is_open_until_its_last_handle_is_gone() {
        let spans = Spans::default();
        let span = spans.open(metadata(), None, "span");
        spans.hold(&span);
        assert!(!spans.release(&span));
        assert_eq!(shown(&spans, &span), ["span"]);
        assert!(spans.release(&span));
        assert!(!spans.release(&span), "it is closed once");
    }

    #[test]
    fn a_span_keeps_those_open_that_it_lies_in() {
        let spans = Spans::default();
        let outer = spans.open(metadata(), None, "outer");
        let inner = spans.open(metadata(), Some(outer.clone()), "inner");
        assert!(!spans.release(&outer));
        assert_eq!(shown(&spans, &inner), ["outer", "inner"]);
        assert!(spans.release(&inner));
        assert_eq!(shown(&spans, &outer), [""; 0]);
    }

    #[test]
    fn a_span_may_be_closed_by_another_thread_than_opened_it() {
        let spans = Arc::new(Spans::default());
        let threads: Vec<_> = (0..2 * SHARDS)
            .map(|number| {
                let spans = spans.clone();
                thread::spawn(move || (0..100).map(|_| spans.open(metadata(), None, &number.to_string())).collect())
            })
            .collect();
        let opened: Vec<Vec<Id>> = threads.into_iter().map(|thread| thread.join().expect("no panic")).collect();
        for (number, ids) in opened.iter().enumerate() {
            assert!(ids.iter().all(|id| shown(&spans, id) == [number.to_string()]));
        }
        assert!(opened.iter().flatten().all(|id| spans.release(id)));
        for shard in 0..SHARDS {
            let slab = spans.0.lock(shard);
            assert_eq!(slab.free.len(), slab.slots.len());
        }
    }

    #[test]
    fn spans_may_be_left_in_another_order_than_entered() {
        let spans = Spans::default();
        let (a, b) = (spans.open(metadata(), None, "a"), spans.open(metadata(), None, "b"));
        Spans::enter(&a);
        Spans::enter(&b);
        Spans::exit(&a);
        assert_eq!(Spans::innermost(), Some(b.clone()));
        Spans::exit(&b);
        assert_eq!(Spans::innermost(), None);
    }
}
