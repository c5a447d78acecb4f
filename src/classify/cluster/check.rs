//! Which fingerprints a cluster cannot answer, or answers otherwise than they seem to mean.

use crate::event::Build;
use crate::fingerprint::{Fingerprint, FingerprintSet, Severity};
use crate::query::{FieldKind, Query, Schema, rename_fields};
use crate::store::StoreError;
use crate::store::elastic::{ElasticStore, Named};
use std::collections::BTreeSet;
use std::sync::Arc;

/// What is doubtful about one fingerprint on one cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Doubt {
    /// Its id, or the file that cannot be read.
    pub fingerprint: String,
    /// True when the cluster cannot answer it; else it may answer something else than is meant.
    pub fatal: bool,
    /// What is doubtful, in one sentence.
    pub message: String,
}

/// Which fingerprints use fields or forms that the cluster cannot answer, or answers otherwise than
/// they seem to mean.
pub fn check(
    store: &ElasticStore,
    schema: &Schema,
    set: &FingerprintSet,
) -> Result<Vec<Doubt>, StoreError> {
    let mut doubts: Vec<Doubt> = unreadable(set);
    if store.is_foreign() {
        doubts.extend(odd_layout(store, schema));
    }
    for fingerprint in &set.fingerprints {
        let fields: BTreeSet<String> = fingerprint.queries().flat_map(fields_of).collect();
        doubts.extend(fields.iter().filter_map(|field| {
            let message = odd_field(schema, field)?;
            Some(Doubt {
                fingerprint: fingerprint.id.clone(),
                fatal: schema.kind(field) == FieldKind::Unmapped,
                message,
            })
        }));
    }
    let names: Vec<(String, &Query)> = set
        .fingerprints
        .iter()
        .flat_map(|f| {
            let queries = f.queries().enumerate();
            queries.map(|(n, query)| (format!("{}#{n}", f.id), query))
        })
        .collect();
    let named: Vec<Named<'_>> = names.iter().map(|(n, q)| (n.as_str(), *q)).collect();
    // A build that does not exist: the cluster reads the queries and has nothing to do.
    let nothing = Build::new("whorl-store-check");
    for (name, why) in store.view(&nothing).counts(&named, 0)?.refused {
        let id = name.rsplit_once('#').map_or(name.as_str(), |(id, _)| id);
        doubts.push(Doubt {
            fingerprint: id.to_owned(),
            fatal: true,
            message: why,
        });
    }
    doubts.extend(complements(store, set)?);
    doubts.sort_by(|a, b| (&a.fingerprint, &a.message).cmp(&(&b.fingerprint, &b.message)));
    doubts.dedup();
    Ok(doubts)
}

/// What the layout says of fields that every event needs, and is not so.
fn odd_layout(store: &ElasticStore, schema: &Schema) -> Vec<Doubt> {
    let needed = [
        ("build_uuid", true, "no build can be found"),
        ("@timestamp", true, "events have no time"),
        ("message", true, "there is nothing to read"),
        ("filename", false, "evidence names no file"),
        ("build_name", false, "builds have no job"),
        (
            "build_status",
            false,
            "failed builds are not known from others",
        ),
    ];
    let doubts = needed.into_iter().filter_map(|(field, fatal, so)| {
        let theirs = store.name_of(field);
        let name = if theirs == field {
            field.to_owned()
        } else {
            format!("{theirs}, which stands for {field}")
        };
        let message = match (field, schema.kind(field)) {
            (_, FieldKind::Unmapped) => format!("no index has the field {name}: {so}"),
            ("build_uuid", FieldKind::Text) => format!(
                "the field {name} is analysed text, and builds are found by exact values: give \
                 an exact one, such as {theirs}.keyword"
            ),
            _ => return None,
        };
        Some(Doubt {
            fingerprint: "store.elasticsearch.layout".into(),
            fatal,
            message,
        })
    });
    doubts.collect()
}

/// The fingerprints with a complement in an expression, unless the cluster knows it.
fn complements(store: &ElasticStore, set: &FingerprintSet) -> Result<Vec<Doubt>, StoreError> {
    let has = |f: &&Arc<Fingerprint>| f.queries().any(Query::has_complement);
    let with: Vec<&Arc<Fingerprint>> = set.fingerprints.iter().filter(has).collect();
    if with.is_empty() {
        return Ok(Vec::new());
    }
    let why = match store.knows_complement()? {
        Some(true) => return Ok(Vec::new()),
        Some(false) => "this cluster takes the complement `~` in an expression for a letter",
        None => "there is no event by which to learn whether this cluster knows the complement `~`",
    };
    let doubt = |f: &Arc<Fingerprint>| Doubt {
        fingerprint: f.id.clone(),
        fatal: false,
        message: format!(
            "{why}: large builds and searches may be answered otherwise than is meant"
        ),
    };
    Ok(with.into_iter().map(doubt).collect())
}

fn unreadable(set: &FingerprintSet) -> Vec<Doubt> {
    let errors = set.diagnostics.iter();
    errors
        .filter(|d| d.severity == Severity::Error)
        .map(|d| Doubt {
            fingerprint: format!("{}:{}:{}", d.file, d.line, d.column),
            fatal: true,
            message: d.message.clone(),
        })
        .collect()
}

/// What is odd about a field for a fingerprint that uses it.
fn odd_field(schema: &Schema, field: &str) -> Option<String> {
    match (field, schema.kind(field)) {
        (_, FieldKind::Unmapped) => Some(format!("no index has the field {field}")),
        ("message", FieldKind::Text) => None,
        ("message", kind) => Some(format!("message is not analysed text but {kind:?}")),
        (_, FieldKind::Text) => Some(format!(
            "{field} is analysed text: values are compared word by word; give the layout an exact \
             name for it, such as {field}.keyword"
        )),
        _ => None,
    }
}

/// The fields that a query names, and the default field.
fn fields_of(query: &Query) -> BTreeSet<String> {
    let mut found = BTreeSet::from(["message".to_owned()]);
    // What was read once is read again.
    let _ = rename_fields(query.source(), |name| {
        found.insert(name.to_owned());
        None
    });
    // These are words of the language and no fields.
    found.retain(|name| name != "_exists_" && name != "*");
    found
}
