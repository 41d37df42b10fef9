//! The binary: everything it can do is in `scrip::cli`.

/// An answer is many small things that live as long as it: this allocator makes and forgets them in half the time. It is
/// built without huge pages, with which an idle server is half as large again.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    scrip::cli::run()
}
