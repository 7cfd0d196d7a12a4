//! Places in a manifest in version 1 of the plan file.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::manifest::{Layer, Origin};

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OriginV1 {
    file: Arc<str>,
    line: u32,
    layer: LayerV1,
}

/// `defaults`, `selector NAME`, `group NAME`, `inventory`, `device` or `module`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
struct LayerV1(Layer);

impl From<LayerV1> for String {
    fn from(layer: LayerV1) -> Self {
        match layer.0 {
            Layer::Defaults => "defaults".to_owned(),
            Layer::Selector(name) => format!("selector {name}"),
            Layer::Group(name) => format!("group {name}"),
            Layer::Inventory => "inventory".to_owned(),
            Layer::Device => "device".to_owned(),
            Layer::Module => "module".to_owned(),
        }
    }
}

impl TryFrom<String> for LayerV1 {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Ok(Self(match text.split_once(' ') {
            Some(("selector", name)) => Layer::Selector(name.into()),
            Some(("group", name)) => Layer::Group(name.into()),
            _ => match text.as_str() {
                "defaults" => Layer::Defaults,
                "inventory" => Layer::Inventory,
                "device" => Layer::Device,
                "module" => Layer::Module,
                _ => return Err(format!("`{}` is no layer of a manifest", text.escape_debug())),
            },
        }))
    }
}

impl OriginV1 {
    pub(super) fn of(origin: &Origin) -> Self {
        let Origin { file, line, layer } = origin;
        Self { file: file.clone(), line: *line, layer: LayerV1(layer.clone()) }
    }

    pub(super) fn into_origin(self) -> Origin {
        Origin { file: self.file, line: self.line, layer: self.layer.0 }
    }
}
