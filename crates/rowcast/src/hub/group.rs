//! Everybody with the same filter, by what exactly they get.
//!
//! Most filters have one subscriber: then all of it lies in the group itself.

use std::collections::BTreeSet;
use std::sync::Arc;

use ahash::AHashMap;
use slab::Slab;

use super::index::{Interest, MemberKey};
use super::queue::Queue;
use super::topic::{Placing, TopicKey};
use crate::filter::Predicate;
use crate::protocol::encode::{Projection, Wire};

/// Everybody with the same filter over the same columns.
pub(super) struct Group {
    pub(super) predicate: Option<Arc<Predicate>>,
    /// Where it is found.
    pub(super) topic: TopicKey,
    pub(super) placing: Placing,
    /// It saw part of a transaction whose end was not yet read.
    pub(super) open: bool,
    shapes: Shapes,
}

enum Shapes {
    One(Arc<Projection>, Bucket),
    Many(Box<Many>),
}

/// Buckets of different columns, names or wire formats.
#[derive(Default)]
pub(super) struct Many {
    buckets: Slab<(usize, Bucket)>,
    by_name: AHashMap<(usize, Name), usize>,
    shapes: Slab<(Arc<Projection>, BTreeSet<usize>)>,
    by_projection: AHashMap<Arc<Projection>, usize>,
}

/// Everybody who gets the very same bytes.
pub(super) struct Bucket {
    name: Name,
    members: Members,
}

/// What the bytes of a frame depend on, beside the change and its columns.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Name {
    wire: Wire,
    id: Arc<str>,
}

enum Members {
    None,
    One(MemberKey, Arc<Queue>),
    Many(Box<AHashMap<MemberKey, Arc<Queue>>>),
}

/// Buckets with the same columns.
pub(super) enum Shape<'g> {
    One(&'g Arc<Projection>, &'g Bucket),
    Many(&'g Many, &'g Arc<Projection>, &'g BTreeSet<usize>),
}

/// Names a bucket in its group.
pub(super) type BucketKey = u32;

impl Group {
    /// The group of its first member, which is in bucket 0.
    pub(super) fn new(interest: &Interest, topic: TopicKey, member: MemberKey, queue: Arc<Queue>) -> Self {
        let bucket = Bucket { name: Name::of(interest), members: Members::One(member, queue) };
        let shapes = Shapes::One(interest.projection.clone(), bucket);
        let predicate = interest.predicate.clone();
        Self { predicate, topic, placing: Placing::default(), open: false, shapes }
    }

    pub(super) fn add(&mut self, interest: &Interest, member: MemberKey, queue: Arc<Queue>) -> BucketKey {
        let name = Name::of(interest);
        if let Shapes::One(projection, bucket) = &mut self.shapes {
            if *projection == interest.projection && bucket.name == name {
                bucket.members.insert(member, queue);
                return 0;
            }
            let mut many = Box::<Many>::default();
            let first =
                Bucket { name: bucket.name.clone(), members: std::mem::replace(&mut bucket.members, Members::None) };
            let shape = many.shape(projection);
            many.insert(shape, first);
            self.shapes = Shapes::Many(many);
        }
        let Shapes::Many(many) = &mut self.shapes else { return 0 };
        let shape = many.shape(&interest.projection);
        let key = match many.by_name.get(&(shape, name.clone())) {
            Some(key) => *key,
            None => many.insert(shape, Bucket { name, members: Members::None }),
        };
        many.buckets[key].1.members.insert(member, queue);
        key as BucketKey
    }

    /// Returns whether nobody is left.
    pub(super) fn remove(&mut self, bucket: BucketKey, member: MemberKey) -> bool {
        match &mut self.shapes {
            Shapes::One(_, bucket) => bucket.members.remove(member),
            Shapes::Many(many) => {
                let key = bucket as usize;
                if many.buckets.get_mut(key).is_some_and(|(_, bucket)| bucket.members.remove(member)) {
                    many.remove(key);
                }
                many.buckets.is_empty()
            }
        }
    }

    /// Takes all members out.
    pub(super) fn take_members(&mut self) -> Box<dyn Iterator<Item = (MemberKey, Arc<Queue>)> + Send> {
        match std::mem::replace(&mut self.shapes, Shapes::Many(Box::default())) {
            Shapes::One(_, bucket) => bucket.members.into_each(),
            Shapes::Many(many) => {
                Box::new(many.buckets.into_iter().flat_map(|(_, (_, bucket))| bucket.members.into_each()))
            }
        }
    }

    pub(super) fn shapes(&self) -> impl Iterator<Item = Shape<'_>> {
        let (one, many) = match &self.shapes {
            Shapes::One(projection, bucket) => (Some(Shape::One(projection, bucket)), None),
            Shapes::Many(many) => (None, Some(many)),
        };
        let many = many.into_iter().flat_map(|many| {
            many.shapes.iter().map(move |(_, (projection, buckets))| Shape::Many(many, projection, buckets))
        });
        one.into_iter().chain(many)
    }

    /// Every bucket with its key.
    pub(super) fn places(&self) -> impl Iterator<Item = (BucketKey, &Bucket)> {
        self.shapes().flat_map(Shape::into_buckets)
    }

    pub(super) fn bucket(&self, key: BucketKey) -> Option<&Bucket> {
        match &self.shapes {
            Shapes::One(_, bucket) => Some(bucket),
            Shapes::Many(many) => many.buckets.get(key as usize).map(|(_, bucket)| bucket),
        }
    }
}

impl<'g> Shape<'g> {
    pub(super) fn projection(&self) -> &'g Arc<Projection> {
        match self {
            Shape::One(projection, _) | Shape::Many(_, projection, _) => projection,
        }
    }

    pub(super) fn into_buckets(self) -> impl Iterator<Item = (BucketKey, &'g Bucket)> {
        let (one, many) = match self {
            Shape::One(_, bucket) => (Some((0, bucket)), None),
            Shape::Many(many, _, keys) => (None, Some((many, keys))),
        };
        let many =
            many.into_iter().flat_map(|(many, keys)| keys.iter().map(|key| (*key as BucketKey, &many.buckets[*key].1)));
        one.into_iter().chain(many)
    }
}

impl Many {
    fn shape(&mut self, projection: &Arc<Projection>) -> usize {
        if let Some(shape) = self.by_projection.get(projection) {
            return *shape;
        }
        let shape = self.shapes.insert((projection.clone(), BTreeSet::new()));
        self.by_projection.insert(projection.clone(), shape);
        shape
    }

    fn insert(&mut self, shape: usize, bucket: Bucket) -> usize {
        let name = bucket.name.clone();
        let key = self.buckets.insert((shape, bucket));
        self.by_name.insert((shape, name), key);
        self.shapes[shape].1.insert(key);
        key
    }

    fn remove(&mut self, key: usize) {
        let (shape, bucket) = self.buckets.remove(key);
        self.by_name.remove(&(shape, bucket.name));
        let (projection, keys) = &mut self.shapes[shape];
        keys.remove(&key);
        if keys.is_empty() {
            self.by_projection.remove(projection);
            self.shapes.remove(shape);
        }
    }
}

impl Bucket {
    pub(super) fn wire(&self) -> Wire {
        self.name.wire
    }

    /// The client's name for the subscription, as JSON.
    pub(super) fn id(&self) -> &str {
        &self.name.id
    }

    pub(super) fn members(&self) -> impl Iterator<Item = (&MemberKey, &Arc<Queue>)> {
        let (one, many) = match &self.members {
            Members::None => (None, None),
            Members::One(key, queue) => (Some((key, queue)), None),
            Members::Many(members) => (None, Some(members)),
        };
        one.into_iter().chain(many.into_iter().flat_map(|members| members.iter()))
    }
}

impl Name {
    fn of(interest: &Interest) -> Self {
        Self { wire: interest.wire, id: interest.id.clone() }
    }
}

impl Members {
    fn insert(&mut self, key: MemberKey, queue: Arc<Queue>) {
        *self = match std::mem::replace(self, Members::None) {
            Members::None => Members::One(key, queue),
            Members::One(other, its) => Members::Many(Box::new([(other, its), (key, queue)].into_iter().collect())),
            Members::Many(mut members) => {
                members.insert(key, queue);
                Members::Many(members)
            }
        };
    }

    fn into_each(self) -> Box<dyn Iterator<Item = (MemberKey, Arc<Queue>)> + Send> {
        match self {
            Members::None => Box::new(std::iter::empty()),
            Members::One(key, queue) => Box::new(std::iter::once((key, queue))),
            Members::Many(members) => Box::new(members.into_iter()),
        }
    }

    /// Returns whether nobody is left.
    fn remove(&mut self, key: MemberKey) -> bool {
        match self {
            Members::Many(members) => {
                members.remove(&key);
                members.is_empty()
            }
            Members::One(only, _) if *only == key => {
                *self = Members::None;
                true
            }
            Members::One(..) => false,
            Members::None => true,
        }
    }
}
