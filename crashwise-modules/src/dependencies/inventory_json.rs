//! An inventory as JSON, written field by field: it is as large as all lockfiles together, and most of a short run would
//! be spent on it. What is written is what `serde_json` writes.

use std::io;

use crashwise_core::{Location, Position, RelPath};
use serde::Serialize;

use super::inventory::{Inventory, Origin, Package};

/// About how many bytes a package has.
const PACKAGE_SIZE: usize = 440;

impl Inventory {
    /// The JSON of the inventory.
    ///
    /// # Errors
    /// If one of its parts cannot be written, which none of them does.
    pub(super) fn to_json(&self) -> io::Result<Vec<u8>> {
        let mut out =
            Writer { text: Vec::with_capacity(self.packages.len() * PACKAGE_SIZE + 4096), path: None };
        out.raw("{\"files\":");
        out.any(&self.files)?;
        out.raw(",\"packages\":[");
        for (index, package) in self.packages.iter().enumerate() {
            out.raw(if index > 0 { "," } else { "" });
            out.package(package)?;
        }
        out.raw("]");
        if !self.ignores.is_empty() {
            out.raw(",\"ignores\":");
            out.any(&self.ignores)?;
        }
        if !self.mismatches.is_empty() {
            out.raw(",\"mismatches\":");
            out.any(&self.mismatches)?;
        }
        out.raw("}");
        Ok(out.text)
    }
}

struct Writer<'i> {
    text: Vec<u8>,
    /// The last path, and where its JSON stands in the text: packages of one file follow each other.
    path: Option<(&'i RelPath, std::ops::Range<usize>)>,
}

impl<'i> Writer<'i> {
    fn raw(&mut self, text: &str) {
        self.text.extend_from_slice(text.as_bytes());
    }

    fn any(&mut self, value: &impl Serialize) -> io::Result<()> {
        serde_json::to_writer(&mut self.text, value).map_err(io::Error::from)
    }

    fn string(&mut self, text: &str) -> io::Result<()> {
        // Without a branch, so that many bytes are looked at at once.
        let is_special = |byte: u8| u8::from(byte < 0x20) | u8::from(byte == b'"') | u8::from(byte == b'\\');
        let is_plain = text.bytes().fold(0, |found, byte| found | is_special(byte)) == 0;
        if !is_plain {
            return self.any(&text);
        }
        self.text.push(b'"');
        self.raw(text);
        self.text.push(b'"');
        Ok(())
    }

    fn number(&mut self, mut number: u64) {
        let mut digits = [0; 20];
        let mut start = digits.len();
        loop {
            start -= 1;
            // A remainder by ten is a digit.
            digits[start] = b'0' + u8::try_from(number % 10).unwrap_or_default();
            number /= 10;
            if number == 0 {
                break;
            }
        }
        self.text.extend_from_slice(&digits[start..]);
    }

    fn package(&mut self, package: &'i Package) -> io::Result<()> {
        self.raw("{\"ecosystem\":\"");
        self.raw(package.ecosystem.name());
        self.raw("\",\"name\":");
        self.string(&package.name)?;
        if let Some(version) = &package.version {
            self.raw(",\"version\":");
            self.string(version)?;
        }
        if !package.release.is_empty() {
            self.raw(",\"release\":");
            self.string(&package.release)?;
        }
        self.raw(",\"scope\":\"");
        self.raw(package.scope.as_str());
        self.raw(if package.direct { "\",\"direct\":true" } else { "\",\"direct\":false" });
        self.raw(",\"origin\":");
        match &package.origin {
            Origin::Public => self.raw("{\"kind\":\"public\"}"),
            origin => self.any(origin)?,
        }
        self.raw(",\"location\":");
        self.location(&package.location)?;
        for (key, place) in [(",\"manifest\":", &package.manifest), (",\"pin\":", &package.pin)] {
            if let Some(place) = place {
                self.raw(key);
                self.location(place)?;
            }
        }
        if !package.parents.is_empty() {
            self.raw(",\"parents\":");
            let mut before = "[";
            for parent in &package.parents {
                self.raw(before);
                self.number(*parent as u64);
                before = ",";
            }
            self.raw("]");
        }
        if let Some(via) = package.via {
            self.raw(",\"via\":");
            self.number(via as u64);
        }
        for (key, text) in [(",\"license\":", &package.license), (",\"digest\":", &package.digest)] {
            // The field between them.
            if key.contains("digest") && package.install_script {
                self.raw(",\"install_script\":true");
            }
            if let Some(text) = text {
                self.raw(key);
                self.string(text)?;
            }
        }
        self.raw("}");
        Ok(())
    }

    fn location(&mut self, location: &'i Location) -> io::Result<()> {
        let Some(region) = &location.region else { return self.any(location) };
        let (Some(end), Some(bytes), None, None) =
            (region.end, region.bytes, &location.snippet, &location.message)
        else {
            return self.any(location);
        };
        self.raw("{\"path\":");
        match &self.path {
            Some((path, place)) if *path == &location.path => self.text.extend_from_within(place.clone()),
            _ => {
                let start = self.text.len();
                self.string(location.path.as_str())?;
                self.path = Some((&location.path, start..self.text.len()));
            }
        }
        self.raw(",\"region\":{\"start\":");
        self.position(region.start);
        self.raw(",\"end\":");
        self.position(end);
        self.raw(",\"bytes\":{\"start\":");
        self.number(bytes.start);
        self.raw(",\"end\":");
        self.number(bytes.end);
        self.raw("}}}");
        Ok(())
    }

    fn position(&mut self, position: Position) {
        self.raw("{\"line\":");
        self.number(position.line.number().into());
        self.raw(",\"column\":");
        self.number(position.column.number().into());
        self.raw("}");
    }
}

#[cfg(test)]
mod tests {
    use crashwise_core::RelPath;

    use crate::dependencies::inventory::Inventory;
    use crate::dependencies::scan::inventory_of_texts;

    #[test]
    fn it_is_what_serde_writes() {
        let texts = [
            (
                "web/package-lock.json",
                r#"{"lockfileVersion": 3, "packages": {"": {"dependencies": {"a": "1", "g": "x"}},
"node_modules/a": {"version": "1.0.0", "license": "MIT \"or\" \\ é", "hasInstallScript": true, "integrity": "sha512-x", "dependencies": {"b": "1"}},
"node_modules/b": {"version": "1.0.0", "dependencies": {"a": "1"}},
"node_modules/g": {"version": "4.0.0", "resolved": "git+ssh://git@git.example/g.git#abc"}}}"#,
            ),
            ("web/package.json", r#"{"dependencies": {"a": "2"}}"#),
            ("ä/requirements.txt", "django==4.2\nflask\n"),
            (".trivyignore", "CVE-2024-1\n"),
            (
                "bom.json",
                r#"{"bomFormat": "CycloneDX", "specVersion": "1.5", "components": [{"type": "library", "name": "x", "purl": "pkg:deb/debian/x@1.0?distro=debian-12"}]}"#,
            ),
        ];
        let texts = texts.map(|(path, text)| (RelPath::new(path).unwrap(), text.to_owned()));
        let (inventory, gaps) = inventory_of_texts(texts);
        assert_eq!(gaps, []);
        assert!(!inventory.ignores.is_empty() && !inventory.mismatches.is_empty());
        assert!(inventory.packages.iter().any(|package| package.via.is_some()));
        for inventory in [inventory, Inventory::default()] {
            let text = String::from_utf8(inventory.to_json().unwrap()).unwrap();
            assert_eq!(text, serde_json::to_string(&inventory).unwrap());
            assert_eq!(serde_json::from_str::<Inventory>(&text).unwrap(), inventory);
        }
    }
}
