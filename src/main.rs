//! The binary: everything it can do is in `scrip::cli`.

fn main() -> std::process::ExitCode {
    scrip::cli::run()
}
