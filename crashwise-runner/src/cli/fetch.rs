//! Archives of advisories from an address, fetched again only if they have changed.

use super::exit::Failure;
use super::terminal::Terminal;
use crashwise_core::error_chain;
use reqwest::header::{self, HeaderName};
use reqwest::{Client, StatusCode};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Most bytes of one archive.
const MAX_ARCHIVE: u64 = 4 << 30;
/// Longest silence of the other side.
const SILENCE: Duration = Duration::from_mins(1);

/// Fetches `MIRROR/ECOSYSTEM/all.zip` of each ecosystem into a folder; what is there already and has not changed stays.
pub(super) fn archives(
    mirror: &str,
    ecosystems: &[String],
    folder: &Path,
    terminal: &Terminal,
) -> Result<Vec<PathBuf>, Failure> {
    let failed = |error: std::io::Error| Failure::failed(format!("{}: {error}", folder.display()));
    std::fs::create_dir_all(folder).map_err(failed)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
    // Another part of the program may have chosen already; then that choice holds.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = Client::builder()
        .connect_timeout(SILENCE)
        .read_timeout(SILENCE)
        .user_agent(concat!("crashwise/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(|error| Failure::failed(error_chain(&error)))?;
    let mut files = Vec::new();
    for name in ecosystems {
        let address = format!("{}/{}/all.zip", mirror.trim_end_matches('/'), name.replace(' ', "%20"));
        let file = folder.join(format!("{name}.zip"));
        let news = runtime
            .block_on(archive(&client, &address, &file))
            .map_err(|message| Failure::failed(format!("{address}: {message}")))?;
        terminal.note(&format!("{name}: {}", if news { "fetched" } else { "has not changed" }));
        files.push(file);
    }
    Ok(files)
}

/// What a mirror says of an archive, and how it is asked whether that still holds, the stronger first.
const VALIDATORS: [(&str, HeaderName, HeaderName); 2] = [
    ("etag", header::ETAG, header::IF_NONE_MATCH),
    ("date", header::LAST_MODIFIED, header::IF_MODIFIED_SINCE),
];

/// Fetches one archive; `false` if the one that is there is still that of the mirror.
async fn archive(client: &Client, address: &str, file: &Path) -> Result<bool, String> {
    let mut request = client.get(address);
    let mut is_known = false;
    for (ending, _, ask) in VALIDATORS {
        if let Ok(known) = std::fs::read_to_string(file.with_extension(ending))
            && file.is_file()
        {
            request = request.header(ask, known.trim());
            is_known = true;
        }
    }
    let mut response = request.send().await.map_err(|error| error_chain(&error))?;
    match response.status() {
        StatusCode::NOT_MODIFIED if is_known => return Ok(false),
        StatusCode::OK => {}
        status => return Err(format!("the mirror answers {status}")),
    }
    let said = VALIDATORS.map(|(ending, header, _)| {
        let value = response.headers().get(header).and_then(|value| value.to_str().ok());
        (file.with_extension(ending), value.map(str::to_owned))
    });
    let folder = file.parent().unwrap_or(Path::new("."));
    let mut out = tempfile::NamedTempFile::new_in(folder).map_err(|error| error.to_string())?;
    let mut total = 0;
    while let Some(chunk) = response.chunk().await.map_err(|error| error_chain(&error))? {
        total += chunk.len() as u64;
        if total > MAX_ARCHIVE {
            return Err(format!("the archive has more than {MAX_ARCHIVE} bytes"));
        }
        out.write_all(&chunk).map_err(|error| error.to_string())?;
    }
    // What was said of another archive would keep this one from ever being fetched again.
    for (kept, _) in &said {
        match std::fs::remove_file(kept) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.to_string()),
            _ => {}
        }
    }
    out.persist(file).map_err(|error| error.error.to_string())?;
    for (kept, value) in said {
        if let Some(value) = value {
            std::fs::write(&kept, value).map_err(|error| error.to_string())?;
        }
    }
    Ok(true)
}
