//! Bills of materials: an inventory as CycloneDX 1.6 or SPDX 2.3.
//!
//! They hold no time and no random number, so that the same inventory gives the same bytes.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::inventory::{Inventory, Package, Scope};

/// One package of the bill: the same package of several files is one.
struct Part<'a> {
    package: &'a Package,
    scope: Scope,
    /// Package URLs of what it needs.
    needs: Vec<String>,
    is_direct: bool,
}

fn parts(inventory: &Inventory) -> BTreeMap<String, Part<'_>> {
    let purls: Vec<String> = inventory.packages.iter().map(Package::purl).collect();
    let mut parts: BTreeMap<String, Part<'_>> = BTreeMap::new();
    for (purl, package) in purls.iter().zip(&inventory.packages) {
        let new = || Part { package, scope: package.scope, needs: Vec::new(), is_direct: false };
        let part = parts.entry(purl.clone()).or_insert_with(new);
        part.scope = part.scope.min(package.scope);
        part.is_direct |= package.direct;
    }
    for (purl, package) in purls.iter().zip(&inventory.packages) {
        for parent in &package.parents {
            if let Some(part) = purls.get(*parent).and_then(|parent| parts.get_mut(parent))
                && !part.needs.contains(purl)
            {
                part.needs.push(purl.clone());
            }
        }
    }
    for part in parts.values_mut() {
        part.needs.sort();
    }
    parts
}

/// CycloneDX 1.6.
///
/// ```
/// use crashwise_modules::dependencies::{Inventory, cyclonedx};
/// assert_eq!(cyclonedx(&Inventory::default(), "app")["specVersion"], "1.6");
/// ```
pub fn cyclonedx(inventory: &Inventory, name: &str) -> Value {
    let parts = parts(inventory);
    let component = |(purl, part): (&String, &Part<'_>)| {
        let mut component = json!({
            "type": "library",
            "bom-ref": purl,
            "name": part.package.name,
            "purl": purl,
            "scope": match part.scope {
                Scope::Dev | Scope::Test | Scope::Build => "excluded",
                Scope::Optional => "optional",
                Scope::Prod | Scope::Unknown => "required",
            },
            "properties": [
                {"name": "crashwise:scope", "value": part.scope.as_str()},
                {"name": "crashwise:location", "value": part.package.location.to_string()},
            ],
        });
        if let Some(version) = &part.package.version {
            component["version"] = json!(version);
        }
        if let Some(license) = &part.package.license {
            component["licenses"] = json!([{"license": {"name": license}}]);
        }
        if let Some(content) =
            part.package.digest.as_deref().and_then(|digest| digest.strip_prefix("sha256:"))
            && content.len() == 64
        {
            component["hashes"] = json!([{"alg": "SHA-256", "content": content}]);
        }
        component
    };
    let mut dependencies: Vec<Value> = Vec::new();
    let direct: Vec<&String> =
        parts.iter().filter(|(_, part)| part.is_direct).map(|(purl, _)| purl).collect();
    dependencies.push(json!({"ref": "project", "dependsOn": direct}));
    dependencies.extend(parts.iter().map(|(purl, part)| json!({"ref": purl, "dependsOn": part.needs})));
    json!({
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "tools": {"components": [{"type": "application", "name": "crashwise", "version": env!("CARGO_PKG_VERSION")}]},
            "component": {"type": "application", "bom-ref": "project", "name": name},
        },
        "components": parts.iter().map(component).collect::<Vec<_>>(),
        "dependencies": dependencies,
    })
}

/// SPDX 2.3.
pub fn spdx(inventory: &Inventory, name: &str) -> Value {
    let parts = parts(inventory);
    let ids: BTreeMap<&String, String> = parts
        .keys()
        .enumerate()
        .map(|(index, purl)| (purl, format!("SPDXRef-Package-{}", index + 1)))
        .collect();
    let mut packages = vec![json!({
        "SPDXID": "SPDXRef-Project",
        "name": name,
        "downloadLocation": "NOASSERTION",
        "filesAnalyzed": false,
    })];
    let mut relationships = vec![json!({
        "spdxElementId": "SPDXRef-DOCUMENT",
        "relationshipType": "DESCRIBES",
        "relatedSpdxElement": "SPDXRef-Project",
    })];
    let mut others = BTreeMap::new();
    for (purl, part) in &parts {
        let license = part.package.license.as_deref();
        let mut package = json!({
            "SPDXID": ids[purl],
            "name": part.package.name,
            "downloadLocation": "NOASSERTION",
            "filesAnalyzed": false,
            "licenseDeclared": license.map_or("NOASSERTION".to_owned(), |license| declared(license, &mut others)),
            "externalRefs": [{"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl", "referenceLocator": purl}],
        });
        if let Some(version) = &part.package.version {
            package["versionInfo"] = json!(version);
        }
        packages.push(package);
        if part.is_direct {
            relationships.push(match part.scope {
                Scope::Dev => relation(&ids[purl], "DEV_DEPENDENCY_OF", "SPDXRef-Project"),
                Scope::Test => relation(&ids[purl], "TEST_DEPENDENCY_OF", "SPDXRef-Project"),
                Scope::Build => relation(&ids[purl], "BUILD_DEPENDENCY_OF", "SPDXRef-Project"),
                Scope::Optional => relation(&ids[purl], "OPTIONAL_DEPENDENCY_OF", "SPDXRef-Project"),
                Scope::Prod | Scope::Unknown => relation("SPDXRef-Project", "DEPENDS_ON", &ids[purl]),
            });
        }
        for need in &part.needs {
            relationships.push(relation(&ids[purl], "DEPENDS_ON", &ids[need]));
        }
    }
    // A namespace must be new for new content and the same for the same.
    let digest = blake3::hash(Value::Array(packages.clone()).to_string().as_bytes()).to_hex();
    let mut document = json!({
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": name,
        "documentNamespace": format!("urn:crashwise:{digest}"),
        "creationInfo": {
            "created": "1970-01-01T00:00:00Z",
            "creators": [format!("Tool: crashwise-{}", env!("CARGO_PKG_VERSION"))],
        },
        "packages": packages,
        "relationships": relationships,
    });
    if !others.is_empty() {
        let other =
            |(id, text): (String, &str)| json!({"licenseId": id, "name": text, "extractedText": text});
        document["hasExtractedLicensingInfos"] = others.into_iter().map(other).collect();
    }
    document
}

/// A licence as an expression of SPDX; what SPDX does not know, such as `proprietary`, gets a reference of its own.
fn declared<'l>(license: &'l str, others: &mut BTreeMap<String, &'l str>) -> String {
    if !license.contains("Ref-") && ::spdx::Expression::parse(license).is_ok() {
        return license.to_owned();
    }
    let digest = blake3::hash(license.as_bytes()).to_hex();
    let reference = format!("LicenseRef-{}", &digest[..16]);
    others.insert(reference.clone(), license);
    reference
}

fn relation(from: &str, kind: &str, to: &str) -> Value {
    json!({"spdxElementId": from, "relationshipType": kind, "relatedSpdxElement": to})
}

#[cfg(test)]
mod tests {
    use crashwise_core::RelPath;

    use super::*;
    use crate::dependencies::lockfile::{Files, read};

    fn read_one(name: &str, text: &str) -> Inventory {
        let mut files = Files::default();
        files.insert(RelPath::new(name).unwrap(), text.to_owned());
        let (inventory, gaps) = read(&files);
        assert_eq!(gaps, []);
        inventory
    }

    #[test]
    fn what_is_written_is_read_again() {
        let lock = r#"{"lockfileVersion": 3, "packages": {"": {"dependencies": {"a": "1"}, "devDependencies": {"t": "1"}},
"node_modules/a": {"version": "1.0.0", "license": "MIT", "dependencies": {"b": "1"}},
"node_modules/b": {"version": "2.0.0"},
"node_modules/t": {"version": "3.0.0", "dev": true}}}"#;
        let inventory = read_one("package-lock.json", lock);
        let names = |inventory: &Inventory| {
            let mut names: Vec<String> = inventory.packages.iter().map(Package::purl).collect();
            names.sort();
            names
        };
        for (name, document) in
            [("bom.json", cyclonedx(&inventory, "app")), ("x.spdx.json", spdx(&inventory, "app"))]
        {
            let again = read_one(name, &document.to_string());
            assert_eq!(names(&again), names(&inventory), "{name}");
            let b = again.packages.iter().position(|package| package.name == "b").unwrap();
            let way: Vec<&str> =
                again.path_to(b).into_iter().map(|index| again.packages[index].name.as_str()).collect();
            assert_eq!(way, ["a", "b"], "{name}");
            let t = again.packages.iter().find(|package| package.name == "t").unwrap();
            assert!(t.scope.is_dev(), "{name}");
            assert_eq!(
                again.packages.iter().find(|package| package.name == "a").unwrap().license.as_deref(),
                Some("MIT")
            );
        }
    }

    #[test]
    fn licences_that_spdx_does_not_know_are_texts_of_their_own() {
        let package = |name: &str, license: &str| {
            format!("\"node_modules/{name}\": {{\"version\": \"1.0.0\", \"license\": \"{license}\"}}")
        };
        let lock = format!(
            "{{\"lockfileVersion\": 3, \"packages\": {{{}, {}, {}, {}}}}}",
            package("a", "(MIT OR Apache-2.0)"),
            package("b", "UNLICENSED"),
            package("c", "SEE LICENSE IN x"),
            package("d", "UNLICENSED"),
        );
        let document = spdx(&read_one("package-lock.json", &lock), "app");
        let declared: Vec<&str> =
            (1..5).map(|index| document["packages"][index]["licenseDeclared"].as_str().unwrap()).collect();
        assert_eq!(declared[0], "(MIT OR Apache-2.0)");
        assert_eq!(declared[1], declared[3]);
        let mut texts: Vec<_> = document["hasExtractedLicensingInfos"]
            .as_array()
            .unwrap()
            .iter()
            .map(|info| (info["licenseId"].as_str().unwrap(), info["extractedText"].as_str().unwrap()))
            .collect();
        texts.sort_by_key(|(_, text)| *text);
        assert_eq!(texts, [(declared[2], "SEE LICENSE IN x"), (declared[1], "UNLICENSED")]);
    }
}
