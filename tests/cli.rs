//! The command line as its users see it: a file a case in `tests/cmd`, standard error and exit code included.

#[test]
fn commands_print_and_exit_as_their_files_say() {
    trycmd::TestCases::new().case("tests/cmd/*.toml").case("tests/cmd/*.trycmd");
}
