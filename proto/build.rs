//! Makes Rust of the schema: messages, clients and servers. No `protoc` is needed.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let names = ["holding", "coordinator", "agent", "query", "stored"];
    let ours = names.map(|name| format!("schema/backsight/v1/{name}.proto"));
    let files = ours.into_iter().chain(["schema/perfetto.proto".to_owned()]);
    println!("cargo:rerun-if-changed=schema");
    let descriptors = protox::compile(files, ["schema"])?;
    tonic_prost_build::configure().compile_fds(descriptors)?;
    Ok(())
}
