//! Link options of libbacksight.so: its soname, and that it is never unloaded, as threads end in its code.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-cdylib-link-arg=-Wl,-soname,libbacksight.so.0");
    println!("cargo::rustc-cdylib-link-arg=-Wl,-z,nodelete");
}
