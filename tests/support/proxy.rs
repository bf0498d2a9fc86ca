//! The proxy as a process of its own, for the tests.

fn main() -> std::process::ExitCode {
    cognigate::cli::main()
}
