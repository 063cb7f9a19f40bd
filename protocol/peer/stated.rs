//! [`Stated`]: what a node states of itself in each message.

use serde::{Deserialize, Serialize};

use super::fields::{self, Hex, Whole};
use super::parts::{object, part};
use crate::swim::{ClusterId, FORMER_IDS, Incarnation, Statement};
use crate::value::{EcoString, Value};

/// What a node states of itself, and the name of its cluster. A malformed statement counts as that of a passive node,
/// which states nothing.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(from = "StatedForm", into = "StatedForm")]
pub struct Stated {
    /// The statement.
    pub statement: Statement,
    /// The name of the node's cluster, which is empty by default.
    pub name: EcoString,
}

/// The form of a statement on the wire.
#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct StatedForm {
    #[serde(deserialize_with = "fields::lenient")]
    life: Option<Whole>,
    #[serde(deserialize_with = "fields::lenient")]
    turn: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "fields::lenient")]
    name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "fields::lenient")]
    cluster: Option<Hex>,
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "former_ids")]
    formerly: Vec<Hex>,
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "fields::lenient")]
    view: Option<Hex>,
}

/// Ignores malformed ids and those past [`FORMER_IDS`].
fn former_ids<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<Hex>, D::Error> {
    #[derive(Deserialize)]
    struct Id(#[serde(deserialize_with = "fields::lenient")] Option<Hex>);

    let ids = Vec::<Id>::deserialize(deserializer).unwrap_or_default();
    Ok(ids.into_iter().take(FORMER_IDS).filter_map(|id| id.0).collect())
}

impl From<Stated> for StatedForm {
    fn from(Stated { statement, name }: Stated) -> StatedForm {
        let Statement { incarnation, cluster, formerly, view } = statement;
        StatedForm {
            life: Some(Whole(incarnation.life)),
            turn: Some(incarnation.turn),
            name: (!name.is_empty()).then(|| name.into()),
            cluster: cluster.map(|id| Hex(id.number())),
            formerly: formerly.iter().flatten().map(|id| Hex(id.number())).collect(),
            view: (view != 0).then_some(Hex(view)),
        }
    }
}

impl From<StatedForm> for Stated {
    fn from(form: StatedForm) -> Stated {
        let name = form.name.unwrap_or_default().into();
        let (Some(life), Some(turn)) = (form.life, form.turn) else {
            return Stated { name, ..Stated::default() };
        };
        let id = |id: Hex| ClusterId::new(id.0);
        let mut statement = Statement {
            cluster: form.cluster.and_then(id),
            view: form.view.map_or(0, |view| view.0),
            ..Statement::of(Incarnation { life: life.0, turn })
        };
        for (place, former) in statement.formerly.iter_mut().zip(form.formerly) {
            *place = id(former);
        }
        Stated { statement, name }
    }
}

/// Converts an answer to a value, after the statement of the node that answers.
pub(super) fn stating<T: Serialize>(stated: &Stated, answer: &T) -> Value {
    let mut object = object(stated);
    object.extend(self::object(answer));
    Value::Object(object)
}

/// Reads the statement in a message.
pub(super) fn stated(message: &Value) -> Stated {
    part(message).unwrap_or_default()
}
