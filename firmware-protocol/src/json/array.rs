//! Arrays that the route reads: of messages, of samples, of objects with samples.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

use super::collect::{Context, Name};
use super::object::Field;
use crate::decode::{Node, Role};

/// Each element is an object of readings with its own time, or else that of the message around it.
pub(super) fn messages<'de, A: SeqAccess<'de>>(
    context: &mut Context<'_>,
    mut seq: A,
    node: Node,
) -> Result<(), A::Error> {
    let outside = (context.depth, context.is_listed, context.path.len());
    context.is_listed = context.rules.plan.rules.is_listed();
    loop {
        context.depth = 0;
        context.path.truncate(context.root);
        if seq.next_element_seed(Message { context, node })?.is_none() {
            break;
        }
    }
    context.path.truncate(outside.2);
    (context.depth, context.is_listed) = (outside.0, outside.1);
    Ok(())
}

/// Reads the elements that a path leads to.
pub(super) fn elements<'de, A: SeqAccess<'de>>(context: &mut Context<'_>, seq: A, node: Node) -> Result<(), A::Error> {
    // In an array only what is named is read: it has no names of its own.
    let outside = std::mem::replace(&mut context.is_listed, true);
    let every = context.rules.plan.tree.every(node);
    match every.map(|every| context.role(every)) {
        Some(Role::Channel(rule)) => context.samples(rule, |context| each(context, seq, node, every))?,
        Some(Role::Unnamed | Role::Time | Role::Device | Role::Ignored | Role::Each) | None => {
            each(context, seq, node, None)?;
        }
    }
    context.is_listed = outside;
    Ok(())
}

/// How many there were. Values at `samples` are noted with their place.
fn each<'de, A: SeqAccess<'de>>(
    context: &mut Context<'_>,
    mut seq: A,
    node: Node,
    samples: Option<Node>,
) -> Result<u32, A::Error> {
    let mut index = 0_u32;
    loop {
        let element = context.rules.plan.tree.element(node, index);
        context.sample = (Some(element) == samples).then_some(index);
        let field = Field { context, node: element, name: Name::Path, is_element: true };
        if seq.next_element_seed(field)?.is_none() {
            return Ok(index);
        }
        index = index.saturating_add(1);
    }
}

struct Message<'c, 'a> {
    context: &'c mut Context<'a>,
    node: Node,
}

impl<'de> DeserializeSeed<'de> for Message<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Message<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object in the array that `each` names")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<(), A::Error> {
        let Self { context, node } = self;
        context.part(|context| context.fields(map, node))
    }
}
