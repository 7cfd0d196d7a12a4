//! What the files name: entries under `devices`, and modules.

use std::ops::ControlFlow;
use std::sync::Arc;

use crate::manifest::entry::Written;
use crate::manifest::entry::parsed::Module;
use crate::manifest::layers::body::Body;
use crate::manifest::layers::layering::{Stack, sizes};
use crate::manifest::leaf::{Layer, Origin};
use crate::manifest::range::Pattern;
use crate::manifest::text::node::Spanned;
use crate::manifest::text::source::File;
use iothub_model::diagnostic::{Diagnostic, Span};
use iothub_model::twin::ModuleId;

/// An entry under `devices`, with its layers resolved.
pub(crate) struct Named<'f> {
    pub(crate) file: &'f File,
    pub(crate) name: Name,
    pub(crate) groups: Arc<[usize]>,
    /// The place of its own layer.
    pub(crate) device: Option<u32>,
}

/// What an entry names.
pub(crate) type Name = Written<Box<ParsedName>>;

pub(crate) struct ParsedName {
    pub(crate) name: Spanned<String>,
    pub(crate) pattern: Pattern,
    pub(crate) modules: Vec<Shared>,
}

impl Named<'_> {
    pub(crate) fn origin(&self) -> Origin {
        match &self.name {
            Name::Text(entry) => entry.place(),
            Name::Parsed(read) => {
                let line = self.file.line(read.name.span.start);
                Origin { file: self.file.name.clone(), line, layer: Layer::Device }
            }
        }
    }

    pub(crate) fn stack(&self) -> Stack {
        Stack { groups: self.groups.to_vec(), row: None, device: self.device.map(|device| device as usize) }
    }

    pub(crate) fn name(&self) -> &str {
        match &self.name {
            Name::Text(entry) => entry.name().value,
            Name::Parsed(read) => &read.name.value,
        }
    }

    pub(crate) fn span(&self) -> Span {
        match &self.name {
            Name::Text(entry) => entry.name().span,
            Name::Parsed(read) => read.name.span,
        }
    }

    pub(crate) fn is_range(&self) -> bool {
        matches!(&self.name, Name::Parsed(read) if read.pattern.is_range())
    }

    pub(crate) fn count(&self) -> u64 {
        match &self.name {
            Name::Text(_) => 1,
            Name::Parsed(read) => read.pattern.count(),
        }
    }

    /// Calls for each device until it has enough.
    pub(crate) fn each_name(&self, mut each: impl FnMut(&str) -> ControlFlow<()>) {
        _ = match &self.name {
            Name::Text(entry) => each(entry.name().value),
            Name::Parsed(read) => read.pattern.names().try_for_each(|name| each(&name)),
        };
    }

    pub(crate) fn modules(&self) -> &[Shared] {
        match &self.name {
            Name::Text(_) => &[],
            Name::Parsed(read) => &read.modules,
        }
    }
}

/// A module as each device of its entry has it. Defaults and groups describe devices' own twins, so that its entry is all there is to
/// it.
pub(crate) struct Shared {
    pub(crate) id: ModuleId,
    pub(crate) body: Arc<Body>,
    pub(crate) origin: Origin,
}

impl Shared {
    pub(crate) fn new(file: &File, module: Module, found: &mut Vec<Diagnostic>) -> Self {
        let body = Arc::new(Body::new(module.leaves));
        found.extend(sizes(&body).into_iter().map(|it| it.at(&file.source, module.span, "this module")));
        let origin = Origin { file: file.name.clone(), line: file.line(module.span.start), layer: Layer::Module };
        Self { id: module.id, body, origin }
    }
}
