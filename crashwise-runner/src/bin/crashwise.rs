//! The program `crashwise`.

fn main() -> std::process::ExitCode {
    crashwise_runner::cli::main()
}
