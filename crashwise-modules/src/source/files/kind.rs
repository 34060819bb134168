//! The media type of a file: by its content where that is sure, else by its name.

use crate::walk::ContentKind;

/// First bytes that tell a type, at an offset.
const MAGIC: &[(usize, &[u8], &str)] = &[
    (0, b"\x7fELF", "application/x-elf"),
    (0, b"MZ", "application/vnd.microsoft.portable-executable"),
    (0, b"\xFE\xED\xFA\xCE", "application/x-mach-binary"),
    (0, b"\xFE\xED\xFA\xCF", "application/x-mach-binary"),
    (0, b"\xCE\xFA\xED\xFE", "application/x-mach-binary"),
    (0, b"\xCF\xFA\xED\xFE", "application/x-mach-binary"),
    (0, b"\xCA\xFE\xBA\xBE", "application/java-vm"),
    (0, b"\0asm", "application/wasm"),
    (0, b"dex\n", "application/vnd.android.dex"),
    (0, b"BC\xC0\xDE", "application/x-llvm-bitcode"),
    (0, b"!<arch>\n", "application/x-archive"),
    (0, b"PK\x03\x04", "application/zip"),
    (0, b"PK\x05\x06", "application/zip"),
    (0, b"\x1F\x8B", "application/gzip"),
    (0, b"BZh", "application/x-bzip2"),
    (0, b"\xFD7zXZ\0", "application/x-xz"),
    (0, b"\x28\xB5\x2F\xFD", "application/zstd"),
    (0, b"7z\xBC\xAF\x27\x1C", "application/x-7z-compressed"),
    (0, b"Rar!\x1A\x07", "application/vnd.rar"),
    (257, b"ustar", "application/x-tar"),
    (0, b"\x89PNG\r\n\x1A\n", "image/png"),
    (0, b"\xFF\xD8\xFF", "image/jpeg"),
    (0, b"GIF8", "image/gif"),
    (8, b"WEBP", "image/webp"),
    (8, b"WAVE", "audio/wav"),
    (0, b"BM", "image/bmp"),
    (0, b"\0\0\x01\0", "image/vnd.microsoft.icon"),
    (0, b"II*\0", "image/tiff"),
    (0, b"MM\0*", "image/tiff"),
    (0, b"%PDF-", "application/pdf"),
    (0, b"\xD0\xCF\x11\xE0\xA1\xB1\x1A\xE1", "application/x-ole-storage"),
    (0, b"wOFF", "font/woff"),
    (0, b"wOF2", "font/woff2"),
    (0, b"\0\x01\0\0\0", "font/ttf"),
    (0, b"OTTO", "font/otf"),
    (0, b"ID3", "audio/mpeg"),
    (0, b"OggS", "application/ogg"),
    (0, b"fLaC", "audio/flac"),
    (4, b"ftyp", "video/mp4"),
    (0, b"\x1A\x45\xDF\xA3", "video/x-matroska"),
    (0, b"SQLite format 3\0", "application/vnd.sqlite3"),
    (0, b"\xFE\xED\xFE\xED", "application/x-java-keystore"),
    (0, b"\xCE\xCE\xCE\xCE", "application/x-java-jce-keystore"),
    (0, b"\x03\xD9\xA2\x9A", "application/x-keepass2"),
    (0, b"-----BEGIN CERTIFICATE", "application/pem-certificate-chain"),
    (0, b"-----BEGIN PGP PUBLIC", "application/pgp-keys"),
];

/// Extensions of text formats and of what content does not tell.
const EXTENSIONS: &[(&str, &str)] = &[
    ("bash", "text/x-shellscript"),
    ("bat", "text/x-msdos-batch"),
    ("c", "text/x-c"),
    ("cc", "text/x-c++"),
    ("cfg", "text/plain"),
    ("clj", "text/x-clojure"),
    ("cmake", "text/x-cmake"),
    ("conf", "text/plain"),
    ("cpp", "text/x-c++"),
    ("crt", "application/x-x509-ca-cert"),
    ("cs", "text/x-csharp"),
    ("css", "text/css"),
    ("csv", "text/csv"),
    ("cxx", "text/x-c++"),
    ("dart", "text/x-dart"),
    ("der", "application/x-x509-ca-cert"),
    ("diff", "text/x-diff"),
    ("ex", "text/x-elixir"),
    ("exs", "text/x-elixir"),
    ("erl", "text/x-erlang"),
    ("go", "text/x-go"),
    ("gradle", "text/x-gradle"),
    ("graphql", "application/graphql"),
    ("groovy", "text/x-groovy"),
    ("h", "text/x-c"),
    ("hpp", "text/x-c++"),
    ("hs", "text/x-haskell"),
    ("htm", "text/html"),
    ("html", "text/html"),
    ("ini", "text/plain"),
    ("ipynb", "application/x-ipynb+json"),
    ("jar", "application/java-archive"),
    ("apk", "application/vnd.android.package-archive"),
    ("java", "text/x-java"),
    ("js", "text/javascript"),
    ("json", "application/json"),
    ("jsonl", "application/jsonl"),
    ("jsx", "text/javascript"),
    ("jl", "text/x-julia"),
    ("kt", "text/x-kotlin"),
    ("kts", "text/x-kotlin"),
    ("less", "text/x-less"),
    ("lua", "text/x-lua"),
    ("m", "text/x-objective-c"),
    ("md", "text/markdown"),
    ("mjs", "text/javascript"),
    ("cjs", "text/javascript"),
    ("ml", "text/x-ocaml"),
    ("nix", "text/x-nix"),
    ("p12", "application/x-pkcs12"),
    ("pfx", "application/x-pkcs12"),
    ("patch", "text/x-diff"),
    ("pem", "application/x-pem-file"),
    ("php", "text/x-php"),
    ("pl", "text/x-perl"),
    ("pm", "text/x-perl"),
    ("properties", "text/x-java-properties"),
    ("proto", "text/x-protobuf"),
    ("ps1", "text/x-powershell"),
    ("py", "text/x-python"),
    ("pyc", "application/x-python-code"),
    ("pyi", "text/x-python"),
    ("r", "text/x-r"),
    ("rb", "text/x-ruby"),
    ("rs", "text/x-rust"),
    ("rst", "text/x-rst"),
    ("sass", "text/x-sass"),
    ("scala", "text/x-scala"),
    ("scss", "text/x-scss"),
    ("sh", "text/x-shellscript"),
    ("sol", "text/x-solidity"),
    ("sql", "application/sql"),
    ("svg", "image/svg+xml"),
    ("swift", "text/x-swift"),
    ("tex", "text/x-tex"),
    ("tf", "text/x-terraform"),
    ("tfstate", "application/json"),
    ("toml", "application/toml"),
    ("ts", "text/typescript"),
    ("mts", "text/typescript"),
    ("cts", "text/typescript"),
    ("tsx", "text/typescript"),
    ("txt", "text/plain"),
    ("vue", "text/x-vue"),
    ("war", "application/java-archive"),
    ("xml", "application/xml"),
    ("yaml", "application/yaml"),
    ("yml", "application/yaml"),
    ("zig", "text/x-zig"),
    ("zsh", "text/x-shellscript"),
];

/// Names that tell a type whatever they end with.
const NAMES: &[(&str, &str)] = &[
    ("Dockerfile", "text/x-dockerfile"),
    ("Containerfile", "text/x-dockerfile"),
    ("Makefile", "text/x-makefile"),
    ("GNUmakefile", "text/x-makefile"),
    ("CMakeLists.txt", "text/x-cmake"),
    ("Cargo.lock", "application/toml"),
    ("Gemfile", "text/x-ruby"),
    ("Rakefile", "text/x-ruby"),
    ("Jenkinsfile", "text/x-groovy"),
];

/// The media type of a file by its name and its first bytes.
pub(super) fn media_type(
    file_name: &str,
    extension: Option<&str>,
    head: &[u8],
    kind: ContentKind,
) -> &'static str {
    if head.is_empty() && kind != ContentKind::Unread {
        return "inode/x-empty";
    }
    let by_name = by_name(file_name, extension);
    if let Some(sure) = by_content(head, kind) {
        // A ZIP that is named as one of the formats on top of it.
        return match by_name {
            Some(name) if sure == "application/zip" && name.contains("archive") => name,
            _ => sure,
        };
    }
    match (kind, by_name) {
        (_, Some(name)) => name,
        (ContentKind::Text(_), None) => shebang(head).unwrap_or("text/plain"),
        _ => "application/octet-stream",
    }
}

fn by_content(head: &[u8], kind: ContentKind) -> Option<&'static str> {
    let found = MAGIC.iter().find(|(at, bytes, _)| {
        head.get(*at).is_some_and(|first| first == &bytes[0]) && head[*at..].starts_with(bytes)
    });
    // Two letters say nothing of a text.
    found
        .filter(|(_, bytes, _)| bytes.len() > 3 || !kind.is_text() || !bytes.is_ascii())
        .map(|(_, _, name)| *name)
}

fn by_name(file_name: &str, extension: Option<&str>) -> Option<&'static str> {
    let whole = NAMES.iter().find(|(name, _)| *name == file_name);
    whole.map(|(_, kind)| *kind).or_else(|| {
        let extension = extension?;
        EXTENSIONS.iter().find(|(own, _)| own.eq_ignore_ascii_case(extension)).map(|(_, kind)| *kind)
    })
}

fn shebang(head: &[u8]) -> Option<&'static str> {
    use crate::source::Language;
    match Language::of_shebang(head) {
        Some(Language::Python) => Some("text/x-python"),
        Some(Language::JavaScript) => Some("text/javascript"),
        Some(Language::Php) => Some("text/x-php"),
        Some(Language::Ruby) => Some("text/x-ruby"),
        _ if head.starts_with(b"#!") => Some("text/x-shellscript"),
        _ if head.trim_ascii_start().starts_with(b"<?xml") => Some("application/xml"),
        _ => None,
    }
}
