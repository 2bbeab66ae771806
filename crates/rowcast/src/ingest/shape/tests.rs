use std::time::{Duration, UNIX_EPOCH};

use super::*;

const NOW_MS: u64 = 1_769_862_605_123;

fn now() -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(NOW_MS)
}

fn fields(json: &str) -> Fields {
    Fields::from_json(json).expect("an object")
}

fn limits(change: impl FnOnce(&mut Limits)) -> Limits {
    let mut limits = Limits::default();
    change(&mut limits);
    limits
}

fn with(limits: Limits) -> Shape {
    Shape { columns: vec![("x".into(), Column::new(limits).expect("limits"))], ..Shape::default() }
}

#[track_caller]
fn check(shape: &Shape, takes: &[&str], refuses: &[(&str, &str)]) {
    for json in takes {
        assert_eq!(shape.apply_at(fields(json), now()).map(|_| ()), Ok(()), "{json}");
    }
    for (json, reason) in refuses {
        let misfit = shape.apply_at(fields(json), now()).expect_err(json);
        assert_eq!(misfit.reason, *reason, "{json}");
    }
}

fn computed(expression: &str, json: &str) -> Result<String, String> {
    let field = Computed::parse(expression).map_err(|error| error.to_string())?.of(&fields(json), now())?;
    Ok(match field {
        Field::Null => "null".into(),
        Field::Bool(b) => b.to_string(),
        Field::Number(text) => text.into(),
        Field::Text(text) => format!("'{text}'"),
        Field::Json(text) => text.into(),
    })
}

#[test]
fn numbers_keep_to_their_range_also_as_text() {
    let range = limits(|l| (l.min, l.max) = (Some(0.0), Some(60.0)));
    check(
        &with(range),
        &[r#"{"x":0}"#, r#"{"x":"60"}"#, r#"{"x":null}"#, "{}", r#"{"x":" 5.5 "}"#],
        &[
            (r#"{"x":61}"#, "x: 61 is more than 60"),
            (r#"{"x":"-1"}"#, "x: \"-1\" is less than 0"),
            (r#"{"x":"NaN"}"#, "x: expected a number, got \"NaN\""),
            (r#"{"x":"Infinity"}"#, "x: expected a number, got \"Infinity\""),
            (r#"{"x":true}"#, "x: expected a number, got true"),
            (r#"{"x":[1]}"#, "x: expected a number, got an array"),
        ],
    );
}

#[test]
fn what_is_required_is_there_and_not_null() {
    let required = limits(|l| l.required = true);
    let reason = "x: is required, got nothing";
    check(&with(required), &[r#"{"x":""}"#, r#"{"x":false}"#], &[("{}", reason), (r#"{"x":null}"#, reason)]);
}

#[test]
fn texts_match_as_a_whole_are_one_of_some_and_no_longer_than_allowed() {
    let pattern = limits(|l| l.matches = Some("[a-z]+|[0-9]+".into()));
    check(
        &with(pattern),
        &[r#"{"x":"ab"}"#, r#"{"x":12}"#],
        &[(r#"{"x":"ab1"}"#, "x: does not match \"[a-z]+|[0-9]+\": \"ab1\"")],
    );
    let choice = limits(|l| l.one_of = vec!["on".into(), "off".into()]);
    check(&with(choice), &[r#"{"x":"on"}"#], &[(r#"{"x":"On"}"#, "x: expected one of \"on\", \"off\", got \"On\"")]);
    let short = limits(|l| l.length_max = Some(2));
    check(&with(short), &[r#"{"x":"öö"}"#], &[(r#"{"x":"abc"}"#, "x: is longer than 2 characters")]);
}

#[test]
fn moments_are_neither_too_old_nor_too_far_ahead() {
    let hour = Duration::from_secs(3_600);
    let fresh = limits(|l| (l.max_age, l.max_future) = (Some(hour), Some(Duration::ZERO)));
    check(
        &with(fresh),
        &[r#"{"x":1769862605123}"#, r#"{"x":"1769862605"}"#, r#"{"x":"2026-01-31T12:00:00Z"}"#],
        &[
            (r#"{"x":"2026-01-31T11:00:00Z"}"#, "x: \"2026-01-31T11:00:00Z\" is longer ago than 3600s"),
            (r#"{"x":1769862605124}"#, "x: 1769862605124 is more than 0ns ahead of now"),
            (r#"{"x":"soon"}"#, "x: expected a moment, got \"soon\""),
        ],
    );
    let seconds = limits(|l| (l.max_future, l.unit) = (Some(hour), Some(TimeUnit::Seconds)));
    check(
        &with(seconds),
        &[r#"{"x":1769862605}"#],
        &[(r#"{"x":1769862605123}"#, "x: 1769862605123 is more than 3600s ahead of now")],
    );
}

#[test]
fn rules_that_make_no_sense_are_refused_at_the_start() {
    let wrong = |l: Limits| Column::new(l).expect_err("refused").to_string();
    assert_eq!(wrong(limits(|l| (l.min, l.max) = (Some(2.0), Some(1.0)))), "min (2) is greater than max (1)");
    assert_eq!(wrong(limits(|l| l.max = Some(f64::NAN))), "max must be a finite number");
    let pattern = wrong(limits(|l| l.matches = Some("(".into())));
    assert!(pattern.starts_with("matches: \"(\" is not a regular expression: unclosed group"), "{pattern}");
    let huge = wrong(limits(|l| l.matches = Some(r"\w{1000}{1000}".into())));
    assert!(huge.contains("is not a regular expression"), "{huge}");
}

#[test]
fn a_schema_is_asked_of_the_record_as_it_comes() {
    let schema = r#"{"type":"object","required":["s"],"properties":{"s":{"type":"integer","maximum":60}}}"#;
    let schema = Schema::parse(schema).expect("a schema");
    let shape = Shape { schema: Some(schema), rename: vec![("s".into(), "speed".into())], ..Shape::default() };
    let made = shape.apply(fields(r#"{"s":7,"t":1}"#)).expect("it fits");
    assert_eq!(made, fields(r#"{"speed":7,"t":1}"#));
    let reason = |json: &str| shape.apply(fields(json)).expect_err(json).reason;
    assert!(
        reason(r#"{"s":61}"#).starts_with("schema: s: 61 is greater than the maximum"),
        "{}",
        reason(r#"{"s":61}"#)
    );
    assert!(reason(r#"{"t":1}"#).contains("\"s\" is a required property"), "{}", reason(r#"{"t":1}"#));
}

#[test]
fn a_schema_that_is_none_or_refers_elsewhere_is_refused() {
    let wrong = |json: &str| Schema::parse(json).expect_err(json).to_string();
    assert!(wrong("{").starts_with("the schema is not JSON"));
    assert!(
        wrong(r#"{"type":"numbre"}"#).starts_with("the schema is not one at /type"),
        "{}",
        wrong(r#"{"type":"numbre"}"#)
    );
    let remote = wrong(r#"{"$ref":"http://example.com/schema.json"}"#);
    assert!(remote.contains("outside of the schema"), "{remote}");
    let file = wrong(r#"{"$ref":"file:///etc/passwd"}"#);
    assert!(file.contains("outside of the schema"), "{file}");
}

#[test]
fn expressions_compute() {
    let json = r#"{"a":7,"b":"2","c":1.5,"name":" Ada ","t":1769862605123,"n":null,"big":9007199254740993,"f-g":3}"#;
    for (expression, value) in [
        ("a + b * 2", "11"),
        ("(a + b) * 2", "18"),
        ("a / 2", "3.5"),
        ("8 / b", "4"),
        ("-a % 4", "-3"),
        ("a - -1", "8"),
        ("big + 1", "9007199254740994"),
        ("c * 2e1", "30"),
        ("round(a / 3, 2)", "2.33"),
        ("round(c)", "2"),
        ("round(-2.5)", "-3"),
        ("abs(0 - c)", "1.5"),
        ("'it''s ' || trim(name)", "'it's Ada'"),
        ("upper(name)", "' ADA '"),
        ("LOWER('ÄB')", "'äb'"),
        ("concat(n, a, '-', c)", "'7-1.5'"),
        ("coalesce(n, missing, 'x')", "'x'"),
        ("a + n", "null"),
        ("a || n", "null"),
        ("null", "null"),
        ("from_ms(t)", "'2026-01-31 12:30:05.123'"),
        ("now()", "'2026-01-31 12:30:05.123'"),
        ("now_ms() - t", "0"),
        ("\"f-g\" + 1", "4"),
    ] {
        assert_eq!(computed(expression, json).as_deref(), Ok(value), "{expression}");
    }
    assert_eq!(computed("uuid()", "{}").expect("a uuid").len(), 38);
}

#[test]
fn expressions_say_what_is_wrong_and_where() {
    for (expression, wrong) in [
        ("", "at character 1: expected a number, a text in quotes, a name or `(`, got the end"),
        ("a +", "at character 4: expected a number, a text in quotes, a name or `(`, got the end"),
        ("a b", "at character 3: expected an operator or the end, got `b`"),
        ("(a", "at character 3: expected `)`, got the end"),
        ("'x", "at character 1: this quote is not closed, got `'`"),
        ("round(1,2,3)", "at character 1: `round` takes 1 to 2 values, not 3, got `r`"),
        ("1.2.3", "at character 1: expected a number, got `1`"),
        ("a > 1", "at character 3: expected an operator or the end, got `>`"),
    ] {
        assert_eq!(computed(expression, "{}"), Err(wrong.into()), "{expression}");
    }
    let unknown = computed("a + sin(1)", "{}").expect_err("unknown");
    assert!(unknown.starts_with("at character 5: there is no function `sin` (there are now, now_ms"), "{unknown}");
    assert!(computed(&"(".repeat(100), "{}").expect_err("deep").contains("nested"));
    assert_eq!(computed("a / 0", r#"{"a":1}"#), Err("division by zero".into()));
    assert_eq!(computed("a * 2", r#"{"a":"fast"}"#), Err("expected a number to calculate with, got \"fast\"".into()));
    assert_eq!(computed("1e308 * 10", "{}"), Err("the result is not a finite number".into()));
}

#[test]
fn computed_columns_replace_and_are_checked() {
    let mut shape = with(limits(|l| l.max = Some(100.0)));
    shape.computed = vec![("x".into(), Computed::parse("mps * 3.6").expect("an expression"))];
    let made = shape.apply(fields(r#"{"mps":10,"x":1}"#)).expect("it fits");
    assert_eq!(made, fields(r#"{"mps":10,"x":36}"#));
    check(
        &shape,
        &[],
        &[
            (r#"{"mps":100}"#, "x: 360 is more than 100"),
            (r#"{"mps":"?"}"#, "x: expected a number to calculate with, got \"?\""),
        ],
    );
}
