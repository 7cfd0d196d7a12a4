//! What holds of every query, tried on many that nobody wrote.

use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};

use super::{
    Aggregate, ArithmeticOperator, BoundQuery, Collection, ComparisonOperator, Expr, ExprKind, Item, Literal,
    Membership, Name, Path, Query, Select, Selected, compile, compile_condition, parse,
};
use crate::diagnostic::Span;

// Texts.

/// Words and signs that mean something, in no order.
fn token_soup() -> impl Strategy<Value = String> {
    let tokens = select(vec![
        "SELECT",
        "TOP",
        "FROM",
        "WHERE",
        "GROUP",
        "BY",
        "AS",
        "AND",
        "OR",
        "NOT",
        "IN",
        "NIN",
        "true",
        "null",
        "undefined",
        "devices",
        "devices.jobs",
        "devices.modules",
        "tags",
        "group",
        "COUNT",
        "SUM",
        "is_defined",
        "STARTSWITH",
        "CONTAINS",
        "ORDER",
        "LIKE",
        "DISTINCT",
        "*",
        "(",
        ")",
        "[",
        "]",
        "[[",
        "]]",
        "[[a b]]",
        ".",
        ",",
        "=",
        "==",
        "!=",
        "<>",
        "<",
        "<=",
        "+",
        "-",
        "a-b",
        "x-1",
        "--",
        "/",
        "/*",
        "*/",
        "%",
        ";",
        "'",
        "\"",
        "'a'",
        "'\\u00e9'",
        "'\\ud83d\\ude00'",
        "\\",
        "\\u12",
        "0x",
        "0x1F",
        "1",
        "1.5",
        ".5",
        "1e5",
        "1.2.3",
        "é",
        "😀",
        "‘",
        "’",
        "{",
        "}",
        "&&",
        "||",
        "!",
        "@",
        "\n",
        "$version",
    ]);
    let glue = select(vec!["", " ", " ", " "]);
    prop::collection::vec((tokens, glue), 0..40)
        .prop_map(|tokens| tokens.into_iter().map(|(token, glue)| format!("{token}{glue}")).collect())
}

/// Compiles in both ways, and looks whether what is said about the text points into it.
fn compile_carefully(text: &str) {
    for result in [compile(text), compile_condition(text, Collection::Devices)] {
        let remarks = match &result {
            Ok(query) => query.warnings(),
            Err(errors) => {
                assert!(!errors.is_empty(), "{text:?} was refused without a word");
                errors
            }
        };
        for remark in remarks {
            let Span { start, end } = remark.span;
            assert!(text.get(start..end).is_some(), "{remark:?} does not point into {text:?}");
            assert!(!remark.message.is_empty());
        }
        assert!(remarks.is_sorted_by_key(|remark| remark.span), "{remarks:?}");
        if let Ok(query) = result {
            query.rows(&[json!({ "deviceId": "d", "tags": { "a": 1 } })]);
        }
    }
}

// Trees.

fn name() -> impl Strategy<Value = Name> {
    let text = prop_oneof![
        4 => select(vec!["tags", "a", "b", "deviceId", "$version", "é1", "count", "like", "order"]).prop_map(str::to_owned),
        1 => select(vec!["group", "TOP", "Undefined", "a-b", "a b", "2nd", "[x", "it's", "a]b", "-- x", "\n"])
            .prop_map(str::to_owned),
        1 => "[^\\]]{1,6}",
    ];
    text.prop_map(|text| Name { text, span: Span::default() })
}

fn path() -> impl Strategy<Value = Path> {
    prop::collection::vec(name(), 1..4).prop_map(|segments| Path { segments })
}

fn number() -> impl Strategy<Value = f64> {
    prop_oneof![
        (0_u32..100).prop_map(f64::from),
        (0_u64..=1 << 53).prop_map(|number| number as f64),
        0.0..1e6_f64,
        select(vec![1e300, 1e-300, 0.1]),
    ]
}

fn literal() -> impl Strategy<Value = Literal> {
    prop_oneof![
        Just(Literal::Undefined),
        Just(Literal::Null),
        any::<bool>().prop_map(Literal::Bool),
        number().prop_map(Literal::Number),
        select(vec!["", "a", "it's", "\"", "\\", "a\\", "'; --", "é😀", "\n"])
            .prop_map(|text| Literal::Text(text.into())),
        ".{0,6}".prop_map(Literal::Text),
    ]
}

fn literals() -> impl Strategy<Value = Vec<Literal>> {
    let signed = prop_oneof![literal(), number().prop_map(|number| Literal::Number(-number))];
    prop::collection::vec(signed, 0..4)
}

fn comparison_operator() -> impl Strategy<Value = ComparisonOperator> {
    use ComparisonOperator::*;
    select(vec![Equal, NotEqual, Less, Greater, LessOrEqual, GreaterOrEqual])
}

fn expression(leaf: BoxedStrategy<Path>, functions: Vec<&'static str>) -> BoxedStrategy<Expr> {
    use ArithmeticOperator::*;
    let expr = |kind| Expr { kind, span: Span::default() };
    let leaf = prop_oneof![
        3 => leaf.prop_map(ExprKind::Path),
        3 => literal().prop_map(ExprKind::Literal),
        1 => literals().prop_map(ExprKind::Array),
    ]
    .prop_map(expr);
    leaf.prop_recursive(4, 24, 3, move |inner| {
        let boxed = || inner.clone().prop_map(Box::new);
        let operands = || prop::collection::vec(inner.clone(), 2..4);
        let chain = |operators: Vec<ArithmeticOperator>| {
            (boxed(), prop::collection::vec((select(operators), inner.clone()), 1..3))
                .prop_map(|(first, rest)| ExprKind::Arithmetic(first, rest))
        };
        let function = select(functions.clone()).prop_map(|text| Name { text: text.into(), span: Span::default() });
        let membership = select(vec![Membership::In, Membership::NotIn, Membership::Nin]);
        prop_oneof![
            (function, prop::collection::vec(inner.clone(), 2))
                .prop_map(|(function, arguments)| ExprKind::Call(function, arguments)),
            (any::<bool>(), boxed()).prop_map(|(negative, operand)| ExprKind::Sign(negative, operand)),
            chain(vec![Add, Subtract]),
            chain(vec![Multiply, Divide, Remainder]),
            (boxed(), comparison_operator(), boxed())
                .prop_map(|(left, operator, right)| ExprKind::Compare(left, operator, right)),
            (boxed(), membership, literals())
                .prop_map(|(needle, membership, members)| ExprKind::In(needle, membership, members)),
            boxed().prop_map(ExprKind::Not),
            operands().prop_map(ExprKind::And),
            operands().prop_map(ExprKind::Or),
        ]
        .prop_map(expr)
    })
    .boxed()
}

fn query() -> impl Strategy<Value = Query> {
    let aggregate = prop_oneof![
        Just(Selected::Aggregate(Aggregate::Count, None)),
        (select(vec![Aggregate::Avg, Aggregate::Sum, Aggregate::Min, Aggregate::Max]), path())
            .prop_map(|(aggregate, path)| Selected::Aggregate(aggregate, Some(path))),
    ];
    let item = (prop_oneof![path().prop_map(Selected::Path), aggregate], prop::option::of(name()))
        .prop_map(|(what, alias)| Item { what, alias, span: Span::default() });
    let select_clause =
        prop_oneof![Just(Select::All(Span::default())), prop::collection::vec(item, 1..4).prop_map(Select::Items),];
    let condition = expression(path().boxed(), vec!["is_defined", "STARTSWITH", "foo"]);
    (
        prop::option::of(1_u64..),
        select_clause,
        select(Collection::ALL.to_vec()),
        prop::option::of(condition),
        prop::collection::vec(path(), 0..3),
    )
        .prop_map(|(top, select, from, condition, group_by)| Query {
            text: String::new(),
            top,
            select,
            from,
            condition,
            group_by,
        })
}

// A tree without its places.

fn forget(query: &mut Query) {
    query.text.clear();
    match &mut query.select {
        Select::All(span) => *span = Span::default(),
        Select::Items(items) => {
            for item in items {
                item.span = Span::default();
                match &mut item.what {
                    Selected::Path(path) | Selected::Aggregate(_, Some(path)) => forget_path(path),
                    Selected::Aggregate(_, None) => {}
                }
                item.alias.iter_mut().for_each(|alias| alias.span = Span::default());
            }
        }
    }
    query.condition.iter_mut().for_each(forget_expr);
    query.group_by.iter_mut().for_each(forget_path);
}

fn forget_path(path: &mut Path) {
    path.segments.iter_mut().for_each(|segment| segment.span = Span::default());
}

fn forget_expr(expr: &mut Expr) {
    expr.span = Span::default();
    match &mut expr.kind {
        ExprKind::Literal(_) | ExprKind::Array(_) => {}
        ExprKind::Path(path) => forget_path(path),
        ExprKind::Call(name, arguments) => {
            name.span = Span::default();
            arguments.iter_mut().for_each(forget_expr);
        }
        ExprKind::Sign(_, operand) | ExprKind::Not(operand) | ExprKind::In(operand, ..) => forget_expr(operand),
        ExprKind::Arithmetic(first, rest) => {
            forget_expr(first);
            rest.iter_mut().for_each(|(_, operand)| forget_expr(operand));
        }
        ExprKind::Compare(left, _, right) => {
            forget_expr(left);
            forget_expr(right);
        }
        ExprKind::And(operands) | ExprKind::Or(operands) => operands.iter_mut().for_each(forget_expr),
    }
}

// Conditions and fleets that have something to do with each other.

fn known_path() -> BoxedStrategy<Path> {
    select(vec!["deviceId", "tags.a", "tags.b", "tags.c.d", "status"])
        .prop_map(|text| Path {
            segments: text.split('.').map(|name| Name { text: name.into(), span: Span::default() }).collect(),
        })
        .boxed()
}

fn condition() -> impl Strategy<Value = BoundQuery> {
    // Ids often, so that they come up among the documents.
    let ids = prop_oneof![
        Just("deviceId = 'd1'"),
        Just("deviceId IN ['d0', 'd2', 'd2']"),
        Just("'d3' = deviceId"),
        Just("tags.a = 1"),
        Just("NOT deviceId = 'd1'"),
    ];
    let tree = expression(known_path(), vec!["STARTSWITH", "ENDSWITH"]).prop_map(|tree| tree.to_string());
    let text = prop_oneof![
        tree.clone(),
        (ids.clone(), tree.clone()).prop_map(|(id, tree)| format!("{id} AND ({tree})")),
        (ids.clone(), ids, tree).prop_map(|(one, two, tree)| format!("({one} OR {two}) AND (({tree}) OR true)")),
    ];
    text.prop_filter_map("longer than the hub takes", |text| {
        (text.chars().count() <= 8192).then(|| {
            compile_condition(&text, Collection::Devices).unwrap_or_else(|errors| panic!("{text}: {errors:?}"))
        })
    })
}

fn fleet() -> impl Strategy<Value = Vec<Value>> {
    let value = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-2_i64..5).prop_map(Value::from),
        select(vec!["", "a", "d1"]).prop_map(Value::from),
        Just(json!({ "d": 1 })),
        Just(json!(["a"])),
    ];
    let tags = prop::collection::btree_map(select(vec!["a", "b", "c"]), value, 0..3);
    prop::collection::vec(tags, 0..6).prop_map(|fleet| {
        fleet.into_iter().enumerate().map(|(n, tags)| json!({ "deviceId": format!("d{n}"), "tags": tags })).collect()
    })
}

fn sorted(mut rows: Vec<Value>) -> Vec<String> {
    rows.sort_by_key(Value::to_string);
    rows.iter().map(Value::to_string).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text_is_a_query_or_is_refused(text in any::<String>()) {
        compile_carefully(&text);
    }

    #[test]
    fn any_tokens_are_a_query_or_are_refused(text in token_soup()) {
        compile_carefully(&text);
        compile_carefully(&format!("SELECT * FROM devices WHERE {text}"));
    }

    #[test]
    fn a_query_cut_short_is_a_query_or_is_refused(query in query(), at in any::<prop::sample::Index>()) {
        let text: Vec<char> = query.to_string().chars().collect();
        compile_carefully(&text[..at.index(text.len() + 1)].iter().collect::<String>());
    }

    #[test]
    fn a_tree_written_out_is_read_back(query in query()) {
        let text = query.to_string();
        prop_assume!(text.chars().count() <= 8192);
        let mut read = parse(&text).unwrap_or_else(|errors| panic!("{text}: {errors:?}"));
        forget(&mut read);
        prop_assert_eq!(read, query, "{}", text);
    }

    #[test]
    fn the_order_of_documents_does_not_matter(condition in condition(), fleet in fleet()) {
        let turned: Vec<Value> = fleet.iter().rev().cloned().collect();
        prop_assert_eq!(sorted(condition.rows(&fleet)), sorted(condition.rows(&turned)));
        let text = format!(
            "SELECT tags.a, tags.b AS b, COUNT() AS n, SUM(tags.c) AS s, MIN(tags.c) AS l, MAX(tags.c) AS h FROM devices \
             WHERE {} GROUP BY tags.a, tags.b", condition.text()
        );
        let groups = compile(&text).unwrap_or_else(|errors| panic!("{text}: {errors:?}"));
        prop_assert_eq!(sorted(groups.rows(&fleet)), sorted(groups.rows(&turned)));
    }

    #[test]
    fn rows_are_the_documents_that_match(condition in condition(), fleet in fleet()) {
        let matching: Vec<Value> = fleet.iter().filter(|document| condition.matches(document)).cloned().collect();
        prop_assert_eq!(condition.rows(&fleet), matching.clone());
        let counted = compile(&format!("SELECT COUNT() AS n FROM devices WHERE {}", condition.text())).expect("a query");
        prop_assert_eq!(counted.rows(&fleet), vec![json!({ "n": matching.len() })]);
        let first = compile(&format!("SELECT TOP 2 * FROM devices WHERE {}", condition.text())).expect("a query");
        prop_assert_eq!(first.rows(&fleet), matching[..matching.len().min(2)].to_vec());
    }

    #[test]
    fn an_excerpt_is_as_good_as_the_document(query in query(), condition in condition(), fleet in fleet()) {
        let compiled = compile(&query.to_string());
        for query in [Some(condition), compiled.ok()].into_iter().flatten() {
            let texts: Vec<String> = fleet.iter().map(Value::to_string).collect();
            let excerpts: Vec<Value> = texts.iter().map(|text| query.excerpt(text).expect("JSON")).collect();
            for ((document, text), excerpt) in fleet.iter().zip(&texts).zip(&excerpts) {
                prop_assert!(query.may_match(text) || !query.matches(document), "{}", query.text());
                prop_assert_eq!(query.matches(document), query.matches(excerpt), "{}", query.text());
            }
            if !query.selects_documents() {
                prop_assert_eq!(query.rows(&fleet), query.rows(&excerpts), "{}", query.text());
            }
        }
    }

    #[test]
    fn a_condition_and_its_negation_never_both_hold(condition in condition(), fleet in fleet()) {
        let negated = compile_condition(&format!("NOT ({})", condition.text()), Collection::Devices).expect("a condition");
        for document in &fleet {
            prop_assert!(!(condition.matches(document) && negated.matches(document)), "{}", condition.text());
        }
    }

    #[test]
    fn no_document_matches_beyond_the_ids(condition in condition(), fleet in fleet()) {
        if let Some(ids) = condition.device_ids() {
            for document in fleet.iter().filter(|document| condition.matches(document)) {
                prop_assert!(ids.contains(&document["deviceId"].as_str().expect("an id")), "{}", condition.text());
            }
        }
    }
}
