//! The paths of one vhost, compiled: a look-up for exact ones, a tree of segments for prefixes, one
//! automaton for all regular expressions.
//!
//! Owns their order: exact, the longest prefix and those above it, regular expressions in the order of
//! the file, and `/`, which takes what nothing else takes. Costs what the path's length makes it, not the
//! number of routes.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

use fluxheim_config::{PathMatch, Route};
use regex::bytes::{Regex, RegexBuilder, RegexSet, RegexSetBuilder};

use super::Request;
use super::conditions::{Conditions, Fit};

/// The routes of a vhost.
#[derive(Debug)]
pub(super) struct Paths {
    groups: Vec<Group>,
    /// Of each route, if it has any.
    conditions: Vec<Option<Box<Conditions>>>,
    exact: HashMap<Box<str>, usize>,
    /// The first one is the root.
    nodes: Vec<Node>,
    patterns: Vec<Pattern>,
    /// Which of them a route has.
    pattern_of: HashMap<usize, usize>,
    /// All of them, where there are several.
    set: Option<RegexSet>,
    /// Of the prefix `/`.
    rest: Option<usize>,
}

/// The routes that have one path, in the order of the file.
#[derive(Debug, Default)]
struct Group {
    routes: Vec<usize>,
    /// The next shorter prefix that takes the same paths; `/` apart.
    shorter: Option<usize>,
    /// For 405.
    allow: String,
}

#[derive(Debug, Default)]
struct Node {
    children: HashMap<Box<str>, usize>,
    /// Group of the prefix that ends here.
    bare: Option<usize>,
    /// Group of the one with a slash behind it.
    slash: Option<usize>,
}

#[derive(Debug)]
struct Pattern {
    regex: Regex,
    group: usize,
}

/// What became of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    Route(usize),
    /// Its method alone kept a route of this group from taking it.
    OtherMethods(usize),
    Nothing,
}

impl Paths {
    /// Compiles the routes.
    ///
    /// # Errors
    /// A regular expression that can't be built; what the configuration takes can.
    pub(super) fn new(routes: &[Route]) -> Result<Self, regex::Error> {
        let mut paths = Self {
            groups: Vec::new(),
            conditions: Vec::with_capacity(routes.len()),
            exact: HashMap::new(),
            nodes: vec![Node::default()],
            patterns: Vec::new(),
            pattern_of: HashMap::new(),
            set: None,
            rest: None,
        };
        let mut known: BTreeMap<&PathMatch, usize> = BTreeMap::new();
        for (index, route) in routes.iter().enumerate() {
            paths.conditions.push(Conditions::new(&route.when)?);
            let group = match known.get(&route.path) {
                Some(group) => *group,
                None => paths.enter(&route.path)?,
            };
            known.insert(&route.path, group);
            if let Some(group) = paths.groups.get_mut(group) {
                group.take(index, route);
            }
        }
        paths.link();
        for (at, pattern) in paths.patterns.iter().enumerate() {
            let routes = paths.groups.get(pattern.group).map(|group| group.routes.as_slice());
            paths.pattern_of.extend(routes.into_iter().flatten().map(|route| (*route, at)));
        }
        if paths.patterns.len() > 1 {
            let all = paths.patterns.iter().map(|pattern| pattern.regex.as_str());
            let limit = PATTERN_SIZE.saturating_mul(paths.patterns.len());
            paths.set = Some(
                RegexSetBuilder::new(all)
                    .unicode(false)
                    .size_limit(limit)
                    .dfa_size_limit(DFA_SIZE)
                    .build()?,
            );
        }
        Ok(paths)
    }

    /// A new group for `path`, where look-ups find it.
    fn enter(&mut self, path: &PathMatch) -> Result<usize, regex::Error> {
        let group = self.groups.len();
        self.groups.push(Group::default());
        match path {
            PathMatch::Exact(path) => drop(self.exact.insert(path.as_str().into(), group)),
            PathMatch::Prefix(path) if path == "/" => self.rest = Some(group),
            PathMatch::Prefix(path) => {
                let stem = path.strip_suffix('/');
                let at = self.node(stem.unwrap_or(path));
                if let Some(node) = self.nodes.get_mut(at) {
                    let place = if stem.is_some() { &mut node.slash } else { &mut node.bare };
                    *place = Some(group);
                }
            }
            PathMatch::Regex(text) => self.patterns.push(Pattern { regex: pattern(text)?, group }),
        }
        Ok(group)
    }

    /// The node for the segments of `stem`, made if it is not there.
    fn node(&mut self, stem: &str) -> usize {
        let mut at = 0;
        for segment in stem.split('/').skip(1) {
            let fresh = self.nodes.len();
            let Some(node) = self.nodes.get_mut(at) else { return at };
            at = *node.children.entry(segment.into()).or_insert(fresh);
            if at == fresh {
                self.nodes.push(Node::default());
            }
        }
        at
    }

    /// Lets each prefix know the next shorter one.
    fn link(&mut self) {
        let mut open = vec![(0, None)];
        while let Some((at, above)) = open.pop() {
            let Some(node) = self.nodes.get(at) else { continue };
            let below = node.slash.or(node.bare).or(above);
            for (group, shorter) in [(node.bare, above), (node.slash, node.bare.or(above))] {
                if let Some(group) = group.and_then(|group| self.groups.get_mut(group)) {
                    group.shorter = shorter;
                }
            }
            open.extend(node.children.values().map(|child| (*child, below)));
        }
    }

    /// The route for `path`, which may be another reading of the request's own.
    pub(super) fn find(&self, path: &str, request: &Request<'_>) -> Found {
        let exact = self.exact.get(path).copied();
        let prefixes = std::iter::successors(self.longest(path), |group| self.groups.get(*group)?.shorter);
        let found = self.first(exact.into_iter().chain(prefixes), request);
        if found != Found::Nothing {
            return found;
        }
        let found = self.by_pattern(path, request);
        if found != Found::Nothing {
            return found;
        }
        self.first(self.rest.into_iter(), request)
    }

    /// The group of the longest prefix of `path`; `/` apart.
    fn longest(&self, path: &str) -> Option<usize> {
        let mut node = self.nodes.first()?;
        let mut best = None;
        let mut rest = path.strip_prefix('/')?;
        loop {
            let (segment, after) =
                rest.split_once('/').map_or((rest, None), |(segment, after)| (segment, Some(after)));
            let Some(child) = node.children.get(segment).and_then(|child| self.nodes.get(*child)) else {
                return best;
            };
            best = child.bare.or(best);
            let Some(after) = after else { return best };
            best = child.slash.or(best);
            (node, rest) = (child, after);
        }
    }

    fn by_pattern(&self, path: &str, request: &Request<'_>) -> Found {
        let path = path.as_bytes();
        let Some(set) = &self.set else {
            let one = self.patterns.iter().filter(|pattern| pattern.regex.is_match(path));
            return self.first(one.map(|pattern| pattern.group), request);
        };
        let matches = set.matches(path);
        let groups = matches.iter().filter_map(|at| self.patterns.get(at)).map(|pattern| pattern.group);
        self.first(groups, request)
    }

    /// The first route of `groups` that takes the request.
    fn first(&self, groups: impl Iterator<Item = usize>, request: &Request<'_>) -> Found {
        for index in groups {
            let Some(group) = self.groups.get(index) else { continue };
            let mut other_methods = false;
            for route in &group.routes {
                let conditions = self.conditions.get(*route).and_then(Option::as_deref);
                match conditions.map_or(Fit::Yes, |conditions| conditions.judge(request)) {
                    Fit::Yes => return Found::Route(*route),
                    Fit::ButForItsMethod => other_methods = true,
                    Fit::No => {}
                }
            }
            if other_methods {
                return Found::OtherMethods(index);
            }
        }
        Found::Nothing
    }

    /// The methods that the routes of `group` take, as `Allow` lists them.
    pub(super) fn allow(&self, group: usize) -> &str {
        self.groups.get(group).map_or("", |group| &group.allow)
    }

    /// What the groups of the regular expression of `route` match in `path`; an empty range for those that
    /// take no part.
    pub(super) fn captures(&self, route: usize, path: &str) -> Vec<Range<usize>> {
        let found = self.pattern_of.get(&route).and_then(|at| self.patterns.get(*at));
        let captures = found.and_then(|pattern| pattern.regex.captures(path.as_bytes()));
        let range = |group: Option<regex::bytes::Match<'_>>| group.map_or(0..0, |group| group.range());
        captures.map(|captures| captures.iter().skip(1).map(range).collect()).unwrap_or_default()
    }
}

impl Group {
    fn take(&mut self, index: usize, route: &Route) {
        self.routes.push(index);
        for method in &route.when.methods {
            if !self.allow.split(", ").any(|known| known == method) {
                let comma = if self.allow.is_empty() { "" } else { ", " };
                self.allow = format!("{}{comma}{method}", self.allow);
            }
        }
    }
}

/// A regular expression as the configuration judged it: bytes, no Unicode.
pub(super) fn pattern(text: &str) -> Result<Regex, regex::Error> {
    RegexBuilder::new(text).unicode(false).size_limit(PATTERN_SIZE).dfa_size_limit(DFA_SIZE).build()
}

/// Bytes of one that is built; several times what the largest that the configuration takes needs.
const PATTERN_SIZE: usize = 4 << 20;
/// Bytes that a thread may spend on remembering states; beyond it matching is slower, never wrong.
const DFA_SIZE: usize = 256 << 10;
