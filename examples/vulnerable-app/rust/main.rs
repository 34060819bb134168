//! strcpy and eval("x") in a comment are nothing.

use std::process::Command;

static mut COUNT: u32 = 0;

fn list(folder: &str) {
    let _ = Command::new("sh").arg("-c").arg(format!("ls {folder}")).status();
    let _ = Command::new("ls").arg(folder).status();
}

fn query(name: &str) -> (String, &'static str) {
    (format!("SELECT * FROM users WHERE name = '{name}'"), "SELECT * FROM users WHERE name = ?")
}

fn main() {
    let folder = std::env::args().nth(1).unwrap();
    list(&folder);
    println!("{}", query(r#"don't "eval(x)""#).0);
}
