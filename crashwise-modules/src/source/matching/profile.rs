//! What differs between the languages: where input comes from, what makes it harmless, how strings are put together.

use crate::source::Language;
use regex::bytes::{Regex, RegexBuilder};
use std::sync::OnceLock;

/// What a language calls things.
#[derive(Debug)]
pub(crate) struct Profile {
    /// Expressions whose value comes from a user.
    pub(crate) sources: Option<Regex>,
    /// Parameters whose value comes from a user; the group is the name.
    pub(crate) parameters: Option<Regex>,
    /// Expressions that make a value harmless.
    pub(crate) sanitizers: Option<Regex>,
    /// Lines that begin a function.
    pub(crate) functions: Option<Regex>,
    /// Functions that fill a format.
    pub(crate) formats: &'static [&'static str],
    /// Methods of a string that fill it.
    pub(crate) fillers: &'static [&'static str],
    /// Operators that join strings.
    pub(crate) joins: &'static [u8],
}

struct Words {
    sources: &'static str,
    parameters: &'static str,
    sanitizers: &'static str,
    functions: &'static str,
    formats: &'static [&'static str],
    fillers: &'static [&'static str],
    joins: &'static [u8],
}

const fn words(language: Language) -> Words {
    match language {
        Language::Python => Words {
            sources: r"\brequest\.(?:args|form|values|json|data|cookies|headers|files|GET|POST|COOKIES|META|body|query_params|params|query_string|get_json|path_params|match_info|rel_url)\b|\bself\.request\.(?:get|arguments)\b|\bself\.get_(?:query_|body_)?argument\(|\bflask\.request\.|(?:^|[^\w.])input\(|\braw_input\(|\bsys\.argv\b|\bos\.environ\.get\(.QUERY_STRING|\bcgi\.FieldStorage\(",
            parameters: r"",
            sanitizers: r"\b(?:int|float|bool|len|escape|quote|quote_plus|secure_filename|bleach\.clean|basename|literal_eval|UUID|isoformat)\(",
            functions: r"(?m)^[ \t]*(?:async[ \t]+)?def[ \t]",
            formats: &[],
            fillers: &["format", "format_map"],
            joins: b"+%",
        },
        Language::JavaScript => Words {
            sources: r"\breq(?:uest)?\.(?:query|body|params|param|cookies|headers|header|url|originalUrl|path|hostname|files|rawBody)\b|\bctx\.(?:query|params|request\.(?:body|query))\b|\bctx\.request\b|\b(?:window\.|document\.)?location\.(?:search|hash|href)\b|\bdocument\.(?:URL|documentURI|referrer|cookie)\b|\bwindow\.name\b|\bURLSearchParams\(|\bsearchParams\.get\(|\bprocess\.argv\b|\bevent\.(?:queryStringParameters|pathParameters|body)\b",
            parameters: r"@(?:Query|Body|Param|Headers)\([^)]*\)\s*(\w+)",
            sanitizers: r"\b(?:parseInt|parseFloat|Number|Boolean|encodeURIComponent|encodeURI|escape\w*|sanitize\w*|validator\.\w+|basename|JSON\.stringify)\(|DOMPurify",
            functions: r"(?m)^.*(?:\bfunction\b|=>[ \t]*\{|^[ \t]+(?:async[ \t]+)?\w+\([^)\n]*\)[ \t]*\{)",
            formats: &["util.format", "format"],
            fillers: &["concat"],
            joins: b"+",
        },
        Language::Java => Words {
            sources: r"\.get(?:Parameter|ParameterValues|ParameterMap|Header|Headers|QueryString|Cookies|PathInfo|RequestURI|RequestURL|InputStream|Reader|TheParameter|TheValue|Parts?)\(|\bargs\[|\bSystem\.getenv\(",
            parameters: r"@(?:RequestParam|PathVariable|RequestBody|RequestHeader|CookieValue|QueryParam|PathParam|FormParam|HeaderParam|MatrixParam)\b(?:\([^)]*\))?\s*(?:final\s+)?[\w<>\[\].]+\s+(\w+)",
            sanitizers: r"\b(?:Integer|Long|Double|Boolean|UUID)\.(?:parse\w+|valueOf|fromString)\(|\bencodeFor\w+\(|\bescape\w*\(|\bEncode\.for\w+\(|getCanonicalPath|FilenameUtils\.getName",
            functions: r"(?m)^[ \t]*(?:public|private|protected|static)[^=;\n]*\([^;\n]*$",
            formats: &["String.format", "MessageFormat.format"],
            fillers: &["concat", "formatted"],
            joins: b"+",
        },
        Language::Php => Words {
            sources: r"\$_(?:GET|POST|REQUEST|COOKIE|FILES|SERVER)\b|\$HTTP_RAW_POST_DATA|php://input|\$request->(?:input|query|get|all|post|cookie|header|getParam|getQueryParams|getParsedBody)\b|\bRequest::(?:input|get|query)\(|\$argv\b",
            parameters: r"",
            sanitizers: r"\b(?:intval|floatval|boolval|htmlspecialchars|htmlentities|strip_tags|addslashes|escapeshellarg|escapeshellcmd|mysqli_real_escape_string|mysql_real_escape_string|real_escape_string|pg_escape_\w+|quote|basename|filter_input|filter_var|urlencode|rawurlencode|md5|sha1|hash|count|strlen|json_encode|in_array|preg_replace|isset|empty)\(|\((?:int|float|bool)\)|esc_\w+\(|sanitize_\w+\(|absint\(",
            functions: r"(?m)^[ \t]*(?:(?:public|private|protected|static|final|abstract)[ \t]+)*function[ \t]",
            formats: &["sprintf", "vsprintf"],
            fillers: &[],
            joins: b".",
        },
        Language::Ruby => Words {
            sources: r"\bparams(?:\[|\.(?:require|permit|fetch|dig|to_unsafe_h)\b)|\brequest\.(?:params|headers|env|query_string|body|path|fullpath|referer|user_agent)\b|\bcookies\[|\bARGV\b|\bgets\b",
            parameters: r"",
            sanitizers: r"\.to_i\b|\.to_f\b|\b(?:Integer|Float)\(|\bsanitize\w*\(|\bquote\w*\(|\bh\(|html_escape|Shellwords|shellescape|\.permit\(|File\.basename",
            functions: r"(?m)^[ \t]*def[ \t]",
            formats: &["format", "sprintf"],
            fillers: &["concat"],
            joins: b"+%",
        },
        Language::Go => Words {
            sources: r"\b(?:r|req|request)\.(?:FormValue|PostFormValue|Form|PostForm|URL\.Query\(|URL\.Path|URL\.RawQuery|Header\.Get|Cookie|Body|Host|RequestURI)\b|\.(?:Query|Param|PostForm|DefaultQuery|QueryParam|FormValue|GetHeader|GetQuery|Params)\(|\bmux\.Vars\(|\bos\.Args\b|\.URL\.Query\(\)",
            parameters: r"",
            sanitizers: r"\bstrconv\.(?:Atoi|Parse\w+)\(|\b(?:html|template)\.(?:EscapeString|HTMLEscapeString)\(|\burl\.(?:QueryEscape|PathEscape)\(|\bfilepath\.Base\(|\bpath\.Base\(|\blen\(|\buuid\.Parse\(",
            functions: r"(?m)^func[ \t]",
            formats: &["fmt.Sprintf", "Sprintf", "fmt.Sprint", "fmt.Fprintf", "fmt.Appendf"],
            fillers: &[],
            joins: b"+",
        },
        Language::Rust => Words {
            sources: r"\b(?:std::)?env::args(?:_os)?\(|\breq(?:uest)?\.(?:query_string|match_info|uri|headers|param|query|body)\(|\bstdin\(\)|\.read_line\(|\bweb::(?:Query|Path|Form|Json)\b",
            parameters: r"\b(?:Path|Query|Form|Json)\((\w+)\)\s*:",
            sanitizers: r"\.parse(?:::<[^>]*>)?\(|\bescape\w*\(|\bencode\w*\(|\.file_name\(|\.len\(",
            functions: r"(?m)^[ \t]*(?:pub(?:\([^)]*\))?[ \t]+)?(?:async[ \t]+|const[ \t]+|unsafe[ \t]+)*fn[ \t]",
            formats: &["format!", "format_args!", "concat!"],
            fillers: &[],
            joins: b"+",
        },
        Language::C => Words {
            sources: r"\bargv\[|\bgetenv\(|\bf?gets\(|\bgetline\(|\brecv\(|\bstd::cin\b|\bQUERY_STRING\b",
            parameters: r"",
            sanitizers: r"\b(?:atoi|atol|strtol|strtoul|basename)\s*\(",
            functions: r"(?m)^[A-Za-z_][^;=\n]*\)[ \t]*\{?[ \t]*$",
            formats: &["sprintf", "snprintf", "asprintf", "vsprintf", "std::format", "fmt::format"],
            fillers: &["append"],
            joins: b"+",
        },
        Language::CSharp => Words {
            sources: r"\bRequest\.(?:Query|Form|QueryString|Params|Cookies|Headers|Body|Path|RawUrl|Url|RouteValues|InputStream)\b|\bRequest\[|\bargs\[|\bConsole\.ReadLine\(|\bEnvironment\.GetCommandLineArgs\(",
            parameters: r"\[From(?:Query|Body|Route|Form|Header)[^\]]*\]\s*[\w<>?]+\s+(\w+)",
            sanitizers: r"\b(?:int|long|Guid|double|bool)\.(?:Parse|TryParse)\(|\bConvert\.To\w+\(|\bHtmlEncode\(|\bUrlEncode\(|\bPath\.GetFileName\(|\bEscapeDataString\(",
            functions: r"(?m)^[ \t]*(?:public|private|protected|internal|static)[^=;\n]*\([^;\n]*$",
            formats: &["string.Format", "String.Format", "string.Concat", "String.Concat"],
            fillers: &[],
            joins: b"+",
        },
    }
}

impl Profile {
    /// The profile of a language, compiled when it is first needed.
    pub(crate) fn of(language: Language) -> &'static Self {
        static PROFILES: [OnceLock<Profile>; Language::ALL.len()] =
            [const { OnceLock::new() }; Language::ALL.len()];
        let index = Language::ALL.iter().position(|one| *one == language).unwrap_or(0);
        PROFILES[index].get_or_init(|| {
            let words = words(language);
            let regex = |text: &str| {
                (!text.is_empty()).then(|| RegexBuilder::new(text).unicode(false).build().ok()).flatten()
            };
            Self {
                sources: regex(words.sources),
                parameters: regex(words.parameters),
                sanitizers: regex(words.sanitizers),
                functions: regex(words.functions),
                formats: words.formats,
                fillers: words.fillers,
                joins: words.joins,
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_expression_compiles() {
        for language in Language::ALL {
            let profile = Profile::of(language);
            let text = words(language);
            for (regex, text) in [
                (&profile.sources, text.sources),
                (&profile.parameters, text.parameters),
                (&profile.sanitizers, text.sanitizers),
                (&profile.functions, text.functions),
            ] {
                assert_eq!(regex.is_some(), !text.is_empty(), "{language}: {text}");
            }
        }
    }
}
