//! What the files name: entries under `devices`, and modules.

use std::ops::ControlFlow;
use std::sync::Arc;

use super::body::Body;
use super::declaration::{Layer, Origin};
use super::range::Pattern;
use super::reader::Spanned;
use super::schema::Module;
use super::shape::Instance;
use super::source::File;
use super::stack::{Stack, sizes};
use iothub_model::diagnostic::{Diagnostic, Span};
use iothub_model::twin::ModuleId;

/// An entry under `devices`, with its layers resolved.
pub(super) struct Named<'f> {
    pub(super) file: &'f File,
    pub(super) name: Name,
    pub(super) groups: Arc<[usize]>,
    /// The place of its own layer.
    pub(super) device: Option<u32>,
}

pub(super) enum Name {
    Instance(Instance),
    Read(Box<ReadName>),
}

pub(super) struct ReadName {
    pub(super) name: Spanned<String>,
    pub(super) pattern: Pattern,
    pub(super) modules: Vec<Shared>,
}

impl Named<'_> {
    pub(super) fn origin(&self) -> Origin {
        match &self.name {
            Name::Instance(instance) => instance.place(),
            Name::Read(read) => {
                let line = self.file.line(read.name.span.start);
                Origin { file: self.file.name.clone(), line, layer: Layer::Device }
            }
        }
    }

    pub(super) fn stack(&self) -> Stack {
        Stack { groups: self.groups.to_vec(), row: None, device: self.device.map(|device| device as usize) }
    }

    pub(super) fn name(&self) -> &str {
        match &self.name {
            Name::Instance(instance) => instance.name().value,
            Name::Read(read) => &read.name.value,
        }
    }

    pub(super) fn span(&self) -> Span {
        match &self.name {
            Name::Instance(instance) => instance.name().span,
            Name::Read(read) => read.name.span,
        }
    }

    pub(super) fn is_range(&self) -> bool {
        matches!(&self.name, Name::Read(read) if read.pattern.is_range())
    }

    pub(super) fn count(&self) -> u64 {
        match &self.name {
            Name::Instance(_) => 1,
            Name::Read(read) => read.pattern.count(),
        }
    }

    /// Calls for each device until it has enough.
    pub(super) fn each_name(&self, mut each: impl FnMut(&str) -> ControlFlow<()>) {
        _ = match &self.name {
            Name::Instance(instance) => each(instance.name().value),
            Name::Read(read) => read.pattern.names().try_for_each(|name| each(&name)),
        };
    }

    pub(super) fn modules(&self) -> &[Shared] {
        match &self.name {
            Name::Instance(_) => &[],
            Name::Read(read) => &read.modules,
        }
    }
}

/// A module as each device of its entry has it. Defaults and groups describe devices' own twins, so that its entry is all there is to
/// it.
pub(super) struct Shared {
    pub(super) id: ModuleId,
    pub(super) body: Arc<Body>,
    pub(super) origin: Origin,
}

impl Shared {
    pub(super) fn new(file: &File, module: Module, found: &mut Vec<Diagnostic>) -> Self {
        let body = Arc::new(Body::new(module.leaves));
        found.extend(sizes(&body).into_iter().map(|it| it.at(&file.source, module.span, "this module")));
        let origin = Origin { file: file.name.clone(), line: file.line(module.span.start), layer: Layer::Module };
        Self { id: module.id, body, origin }
    }
}
