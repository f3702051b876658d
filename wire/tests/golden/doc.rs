//! In: `docs/protocol.md`. Out: proof that its tables hold what the code holds and its frames are the golden ones.
//! Bounded: tables and frames are found by marks: `<!-- table: NAME -->`, `<!-- golden: FILE/NAME -->`.

use crate::vectors::{all, hex};
use crate::{blessing, root};
use wire::code::{CLOSES, Code, ComeBack};
use wire::event::{Aggressor, Cause, FeedState, Flags, TradingState};
use wire::instrument::InstrumentClass;
use wire::kind::{Depth, Interval, KINDS};
use wire::record::Clock;
use wire::request::{LADDER_MS, Pace};
use wire::view::bars::KEPT;

fn doc() -> String {
    std::fs::read_to_string(root().join("docs/protocol.md")).expect("docs/protocol.md")
}

/// The first `columns` cells of each row of the table behind a mark, without back quotes.
fn table(doc: &str, name: &str, columns: usize) -> Vec<Vec<String>> {
    let mark = format!("<!-- table: {name} -->");
    let at = doc.find(&mark).unwrap_or_else(|| panic!("no {mark} in docs/protocol.md"));
    let rows = doc[at..].lines().skip(1).skip_while(|line| line.is_empty()).take_while(|line| line.starts_with('|'));
    let cells = |row: &str| row.trim_matches('|').split('|').take(columns).map(|cell| cell.trim().replace('`', "")).collect();
    // The first two rows are the head and the line below it.
    rows.skip(2).map(cells).collect()
}

fn check(name: &str, columns: usize, expected: Vec<Vec<String>>) {
    assert_eq!(table(&doc(), name, columns), expected, "table {name} of docs/protocol.md");
}

fn rows<T: Copy>(values: &[T], cells: impl Fn(T) -> Vec<String>) -> Vec<Vec<String>> {
    values.iter().map(|value| cells(*value)).collect()
}

#[test]
fn tables_equal_the_code() {
    let pair = |number: u8, name: &str| vec![number.to_string(), name.to_owned()];
    check("codes", 1, rows(Code::ALL, |code| vec![code.name().to_owned()]));
    check("causes", 2, rows(Cause::ALL, |cause| pair(cause.number(), cause.name())));
    check("feed states", 2, rows(FeedState::ALL, |state| pair(state.number(), state.name())));
    check("trading states", 2, rows(TradingState::ALL, |state| pair(state.number(), state.name())));
    check("aggressors", 2, rows(Aggressor::ALL, |side| pair(side.number(), side.name())));
    check("classes", 2, rows(InstrumentClass::ALL, |class| pair(class.number(), class.name())));
    check("clocks", 2, rows(Clock::ALL, |clock| pair(clock.number(), clock.name())));
    check("kinds", 2, KINDS.iter().map(|row| pair(row.number, row.name)).collect());
    let flags = [
        (Flags::LAST, "last_of_event"),
        (Flags::SNAPSHOT, "snapshot"),
        (Flags::BAD_RECEIVE_TIME, "bad_receive_time"),
        (Flags::MAYBE_BAD_BOOK, "maybe_bad_book"),
        (Flags::STALE, "stale"),
        (Flags::CONFLATED, "conflated"),
    ];
    check("flags", 2, flags.iter().map(|(flag, name)| vec![format!("{:#04x}", flag.0), (*name).to_owned()]).collect());
    let come_back = |when: ComeBack| match when {
        ComeBack::Now => "at once".to_owned(),
        ComeBack::After(seconds) => format!("after {seconds} s"),
        ComeBack::Never => "no".to_owned(),
    };
    let closes = CLOSES.iter();
    let closes = closes.map(|row| vec![row.number.to_string(), row.name.into(), row.reason.into(), come_back(row.come_back)]);
    check("closes", 4, closes.collect());
}

#[test]
fn paces_and_arguments_are_listed() {
    let doc = doc();
    let paces = LADDER_MS.map(|ms| format!("`{}`", Pace::EveryMs(ms))).join(", ");
    assert!(doc.contains(&paces), "{paces}");
    let depths = Depth::ALL.map(|depth| format!("`/{depth}`")).join(", ");
    assert!(doc.contains(&depths), "{depths}");
    let intervals = Interval::ALL.map(|interval| format!("`/{interval}`")).join(", ");
    assert!(doc.contains(&intervals), "{intervals}");
    assert!(doc.contains(&format!("the newest {KEPT} bars")), "{KEPT}");
}

/// The text with every golden frame behind its mark put in anew.
fn filled(doc: &str) -> String {
    let mut out = String::new();
    let mut rest = doc;
    let mark = "<!-- golden: ";
    while let Some(at) = rest.find(mark) {
        let name = rest[at + mark.len()..].split(" -->").next().expect("a name");
        let head = at + mark.len() + name.len() + " -->\n".len();
        out.push_str(&rest[..head]);
        rest = &rest[head..];
        // What stands there is one fenced block a frame.
        if let Some(fenced) = rest.strip_prefix("```text\n") {
            rest = fenced.split_once("```\n").expect("the block ends").1;
        }
        let connections = all();
        let mut frames = connections.iter().flat_map(|all| all.frames.iter().map(move |frame| (all.file, frame)));
        let (_, frame) = frames
            .find(|(file, frame)| name == format!("{}/{}", file.trim_end_matches(".json"), frame.name))
            .unwrap_or_else(|| panic!("no golden frame '{name}'"));
        out.push_str(&format!("```text\n{}\n{}\n```\n", hex(&frame.binary), frame.json));
    }
    out + rest
}

#[test]
fn frames_are_the_golden_ones() {
    let doc = doc();
    assert!(doc.matches("<!-- golden: ").count() >= 8, "the specification shows frames");
    let filled = filled(&doc);
    if blessing() {
        std::fs::write(root().join("docs/protocol.md"), filled).unwrap();
    } else {
        assert_eq!(doc, filled, "set TICKWIRE_BLESS=1 to put the golden frames into docs/protocol.md anew");
    }
}
