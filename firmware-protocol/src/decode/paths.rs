//! Paths into a nested payload, and the tree of all that a route names: what each field of a payload is for is known by
//! going down the tree along with the payload.
//!
//! # Syntax
//! `a.b` is field `b` of the object in `a`, or the field `a.b`; `a[0]` an element of an array, counted from 0; `a[*]` each
//! of them. A backslash takes the meaning from the `.`, `[` or `\` after it.

use super::route::Route;

/// Longest path, bytes.
const PATH_MAX: usize = 256;

#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Key(String),
    Index(u32),
    Every,
}

/// A proven path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Path(Vec<Step>);

impl Path {
    /// # Errors
    /// What is wrong with it.
    pub(super) fn new(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Err("is empty: name a field".into());
        }
        if text.len() > PATH_MAX {
            return Err(format!("{} bytes are beyond the limit of {PATH_MAX}", text.len()));
        }
        let mut steps = Vec::new();
        let mut rest = text;
        while !rest.is_empty() {
            rest = match rest.strip_prefix('[') {
                Some(inner) => {
                    let (index, after) = inner.split_once(']').ok_or_else(|| format!("`{text}` has [ without ]"))?;
                    steps.push(match index {
                        "*" => Step::Every,
                        _ => Step::Index(index.parse().map_err(|_| {
                            format!("`{text}` has [{index}]: write [*] for each element, or its number from 0")
                        })?),
                    });
                    after
                }
                None => {
                    let (key, after) = key(rest);
                    if key.is_empty() {
                        return Err(format!("`{text}` has an empty name between its dots"));
                    }
                    steps.push(Step::Key(key));
                    after
                }
            };
            if let Some(after) = rest.strip_prefix('.') {
                if after.is_empty() || after.starts_with('[') {
                    return Err(format!("`{text}` has an empty name between its dots"));
                }
                rest = after;
            }
        }
        Ok(Self(steps))
    }

    /// # Errors
    /// It goes to several values; `what` is wanted.
    pub(super) fn one(&self, what: &str) -> Result<(), String> {
        if self.0.contains(&Step::Every) { Err(format!("has [*]: name {what}")) } else { Ok(()) }
    }

    /// It is about values in an array, and not about objects in it.
    pub(super) fn ends_in_every_element(&self) -> bool {
        self.0.last() == Some(&Step::Every)
    }

    /// The way to the array of the objects that the value is in; `None` if it is in none, or itself an element.
    pub(super) fn objects(&self) -> Option<&[impl PartialEq + use<>]> {
        let last = self.0.iter().rposition(|step| *step == Step::Every).filter(|last| last + 1 < self.0.len())?;
        self.0.get(..last)
    }

    /// The channel's name where the configuration gives none.
    pub(super) fn name(&self) -> String {
        let parts = self.0.iter().filter_map(|step| match step {
            Step::Key(key) => Some(key.clone()),
            Step::Index(index) => Some(index.to_string()),
            Step::Every => None,
        });
        parts.collect::<Vec<String>>().join(".")
    }
}

/// A name up to a dot or bracket without a backslash, and what follows.
fn key(text: &str) -> (String, &str) {
    let mut key = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => key.extend(chars.next().map(|(_, escaped)| escaped)),
            '.' | '[' => return (key, &text[at..]),
            _ => key.push(c),
        }
    }
    (key, "")
}

/// What a value is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Role {
    /// Nothing of its own: a reading of its field's name, where all fields are read.
    #[default]
    Unnamed,
    Time,
    Device,
    /// By the rule of this number.
    Channel(u16),
    Ignored,
    /// An array of messages.
    Each,
}

/// Place in a [`Tree`]. Places that no path leads through are [`Node::OFF`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Node(u16);

impl Node {
    /// The whole message.
    pub(crate) const ROOT: Self = Self(0);
    pub(crate) const OFF: Self = Self(u16::MAX);
}

#[derive(Clone, Debug, Default)]
struct Branch {
    role: Role,
    keys: Vec<(Box<str>, Node)>,
    indices: Vec<(u32, Node)>,
    every: Option<Node>,
    /// The device's name is here or below.
    has_device: bool,
}

/// All paths of a route.
#[derive(Clone, Debug)]
pub(crate) struct Tree {
    branches: Vec<Branch>,
    /// Some path has more than one name.
    is_deep: bool,
}

impl Tree {
    /// The route's own paths have been found to be right.
    ///
    /// # Errors
    /// All paths together are too long.
    pub(super) fn new(route: &Route) -> Result<Self, String> {
        let mut tree = Self { branches: vec![Branch::default()], is_deep: false };
        let mut starts = vec![Node::ROOT];
        if !route.each.is_empty() {
            if route.device_field.is_some() {
                // Notes the way.
                tree.insert(Node::ROOT, &route.each, Role::Device)?;
            }
            starts.push(tree.insert(Node::ROOT, &route.each, Role::Each)?);
        }
        for start in &starts {
            for (path, role) in [(&route.device_field, Role::Device), (&route.time_field, Role::Time)] {
                if let Some(path) = path {
                    tree.insert(*start, path, role)?;
                }
            }
        }
        // Elements of an array of messages begin where its own path ends.
        let start = starts.last().copied().unwrap_or(Node::ROOT);
        for path in &route.ignore {
            tree.insert(start, path, Role::Ignored)?;
        }
        for (i, channel) in route.channels.iter().enumerate() {
            tree.insert(start, &channel.path, Role::Channel(i as u16))?;
        }
        Ok(tree)
    }

    fn insert(&mut self, start: Node, path: &str, role: Role) -> Result<Node, String> {
        let Path(steps) = Path::new(path)?;
        let mut at = start;
        self.is_deep |= steps.len() > 1;
        for step in steps {
            self.note_device(at, role);
            at = match self.below(at, &step) {
                Some(node) => node,
                None => {
                    let new = Node(u16::try_from(self.branches.len()).ok().filter(|n| *n != u16::MAX).ok_or(TOO_MANY)?);
                    self.branches.push(Branch::default());
                    let branch = self.branches.get_mut(usize::from(at.0)).ok_or(TOO_MANY)?;
                    match step {
                        Step::Key(key) => branch.keys.push((key.into(), new)),
                        Step::Index(index) => branch.indices.push((index, new)),
                        Step::Every => branch.every = Some(new),
                    }
                    new
                }
            };
        }
        self.note_device(at, role);
        if let Some(branch) = self.branches.get_mut(usize::from(at.0)) {
            branch.role = role;
        }
        Ok(at)
    }

    fn note_device(&mut self, at: Node, role: Role) {
        if let Some(branch) = self.branches.get_mut(usize::from(at.0)) {
            branch.has_device |= role == Role::Device;
        }
    }

    pub(crate) fn leads_to_device(&self, node: Node) -> bool {
        self.branch(node).is_some_and(|branch| branch.has_device)
    }

    fn below(&self, at: Node, step: &Step) -> Option<Node> {
        let branch = self.branch(at)?;
        match step {
            Step::Key(key) => branch.keys.iter().find(|(known, _)| **known == **key).map(|(_, node)| *node),
            Step::Index(index) => branch.indices.iter().find(|(known, _)| known == index).map(|(_, node)| *node),
            Step::Every => branch.every,
        }
    }

    fn branch(&self, node: Node) -> Option<&Branch> {
        self.branches.get(usize::from(node.0))
    }

    #[inline]
    pub(crate) fn role(&self, node: Node) -> Role {
        self.branch(node).map_or(Role::Unnamed, |branch| branch.role)
    }

    /// A field of the object at `node`. A name with dots is the same as names within each other.
    #[inline]
    pub(crate) fn field(&self, node: Node, key: &str) -> Node {
        let Some(branch) = self.branch(node) else { return Node::OFF };
        match branch.keys.iter().find(|(known, _)| **known == *key) {
            Some((_, node)) => *node,
            None if self.is_deep && key.contains('.') => self.dotted(branch, key),
            None => Node::OFF,
        }
    }

    #[cold]
    fn dotted<'s>(&'s self, mut branch: &'s Branch, key: &str) -> Node {
        let mut node = Node::OFF;
        for part in key.split('.') {
            let Some((_, below)) = branch.keys.iter().find(|(known, _)| **known == *part) else { return Node::OFF };
            let Some(next) = self.branch(*below) else { return Node::OFF };
            (node, branch) = (*below, next);
        }
        node
    }

    /// An element of the array at `node`: by its number, else as one of all.
    pub(crate) fn element(&self, node: Node, index: u32) -> Node {
        let Some(branch) = self.branch(node) else { return Node::OFF };
        let own = branch.indices.iter().find(|(known, _)| *known == index).map(|(_, node)| *node);
        own.or(branch.every).unwrap_or(Node::OFF)
    }

    /// Whether a path leads to elements of the array at `node`.
    pub(crate) fn has_elements(&self, node: Node) -> bool {
        self.branch(node).is_some_and(|branch| branch.every.is_some() || !branch.indices.is_empty())
    }

    /// Where a path to every element of the array at `node` leads.
    pub(crate) fn every(&self, node: Node) -> Option<Node> {
        self.branch(node).and_then(|branch| branch.every)
    }
}

const TOO_MANY: &str = "have more than 65534 names in all";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_name_fields_and_elements() {
        let name = |text: &str| Path::new(text).map(|path| path.name());
        assert_eq!(name("a.b"), Ok("a.b".into()));
        assert_eq!(name("rx[0].rssi"), Ok("rx.0.rssi".into()));
        assert_eq!(name("a[*].v"), Ok("a.v".into()));
        assert_eq!(name(r"a\.b\[0]"), Ok("a.b[0]".into()));
        assert_eq!(name("[*]"), Ok(String::new()));
        for wrong in ["", ".a", "a.", "a..b", "a[", "a[x]", "a[-1]", "a.[0]", &"a".repeat(257)] {
            assert!(name(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_name_with_dots_is_the_same_as_names_within_each_other() {
        let route = Route { time_field: Some("meta.at".into()), ..Route::default() };
        let tree = Tree::new(&route).unwrap();
        let meta = tree.field(Node::ROOT, "meta");
        assert_eq!(tree.role(tree.field(meta, "at")), Role::Time);
        assert_eq!(tree.role(tree.field(Node::ROOT, "meta.at")), Role::Time);
        assert_eq!(tree.field(Node::ROOT, "meta.on"), Node::OFF);
        assert_eq!(tree.role(meta), Role::Unnamed);
    }
}
