//! The program `cw`: `crashwise` under a shorter name.

fn main() -> std::process::ExitCode {
    crashwise_runner::cli::main()
}
