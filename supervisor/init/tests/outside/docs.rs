use fluxheim_config::exit;

#[test]
fn the_table_of_exit_codes_is_the_one_in_code() {
    let page = include_str!("../../../../docs/exit-codes.md");
    let rows: Vec<&str> = page.lines().filter(|line| line.starts_with("| `")).collect();
    let codes: Vec<String> = rows.iter().filter_map(|row| row.split('`').nth(1)).map(str::to_owned).collect();
    let expected = [
        exit::OK,
        exit::USAGE,
        exit::INTERNAL,
        exit::TRY_AGAIN,
        exit::REFUSED,
        exit::CANNOT_EXEC,
        exit::NOT_FOUND,
    ]
    .map(|code| code.to_string());
    assert_eq!(codes[..expected.len()], expected);
    assert_eq!(codes[expected.len()..], [format!("{} + n", exit::SIGNAL_BASE)]);
}
