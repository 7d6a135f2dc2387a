"""What a root is made of, as a software bill of materials in SPDX 2.3 (JSON), from its dpkg status. Pure."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parseaddr
from urllib.parse import quote

from debian.deb822 import Deb822

from image_builder.artifacts.collect import Artefact

NAMESPACE = "https://spdx.org/spdxdocs"
UNKNOWN = "NOASSERTION"


@dataclass(frozen=True)
class Installed:
    """One installed binary package."""

    name: str
    version: str
    architecture: str
    source: str
    source_version: str
    maintainer: str = ""
    homepage: str = ""
    summary: str = ""


def installed(status: Iterable[str]) -> list[Installed]:
    """The installed packages in the lines of /var/lib/dpkg/status, by name and architecture."""
    found = []
    for fields in Deb822.iter_paragraphs(status, use_apt_pkg=False):
        if fields.get("Status", "").split()[-1:] != ["installed"]:
            continue
        source, _, version = fields.get("Source", fields["Package"]).partition(" ")
        found.append(
            Installed(
                name=fields["Package"],
                version=fields["Version"],
                architecture=fields["Architecture"],
                source=source,
                source_version=version.strip("()") or fields["Version"],
                maintainer=fields.get("Maintainer", ""),
                homepage=fields.get("Homepage", ""),
                summary=fields.get("Description", "").splitlines()[0] if fields.get("Description") else "",
            )
        )
    return sorted(found, key=lambda package: (package.name, package.architecture))


def spdx(
    target: str,
    packages: Sequence[Installed],
    artefacts: Sequence[Artefact],
    *,
    project: str,
    suite: str,
    vendor: str,
    epoch: int,
    tool: str,
) -> str:
    """The document of one image target. The same root and artefacts give the same bytes.

    vendor: the distribution's name in package URLs, "debian". epoch: SOURCE_DATE_EPOCH, the document's time. tool: name
    and version of what made it. Licences are not asserted: dpkg does not know them.
    """
    image = {
        "SPDXID": "SPDXRef-Image",
        "name": f"{project}-{target}",
        "versionInfo": suite,
        "downloadLocation": UNKNOWN,
        "filesAnalyzed": False,
        "licenseConcluded": UNKNOWN,
        "licenseDeclared": UNKNOWN,
        "copyrightText": UNKNOWN,
        "primaryPackagePurpose": "OPERATING-SYSTEM",
        "comment": f"{len(packages)} packages; {', '.join(a.name for a in artefacts) or 'no file'}",
    }
    parts = [_package(package, vendor, suite) for package in packages]
    # as packages, not files: of every file SPDX wants a SHA-1
    files = [_artefact(number, a) for number, a in enumerate((a for a in artefacts if not a.is_folder), 1)]
    relations = [_relation("SPDXRef-DOCUMENT", "DESCRIBES", "SPDXRef-Image")]
    relations += [_relation("SPDXRef-Image", "CONTAINS", str(part["SPDXID"])) for part in parts]
    relations += [_relation(str(file["SPDXID"]), "GENERATED_FROM", "SPDXRef-Image") for file in files]
    body = {
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": f"{project} {target}",
        "creationInfo": {
            "created": datetime.fromtimestamp(epoch, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "creators": [f"Tool: {tool}"],
        },
        "packages": [image, *parts, *files],
        "relationships": relations,
    }
    # the namespace has to be unique to the content, so it is made of it
    digest = hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
    body["documentNamespace"] = f"{NAMESPACE}/{quote(project)}-{quote(target)}-{digest[:32]}"
    return json.dumps(body, indent=1, ensure_ascii=False) + "\n"


def _package(package: Installed, vendor: str, suite: str) -> dict[str, object]:
    qualifiers = f"arch={package.architecture}&distro={quote(f'{vendor}-{suite}')}"
    url = f"pkg:deb/{vendor}/{quote(package.name)}@{quote(package.version, safe='')}?{qualifiers}"
    name, address = parseaddr(package.maintainer)
    found: dict[str, object] = {
        "SPDXID": f"SPDXRef-Package-{_identifier(package.name)}-{_identifier(package.architecture)}",
        "name": package.name,
        "versionInfo": package.version,
        "downloadLocation": UNKNOWN,
        "filesAnalyzed": False,
        "licenseConcluded": UNKNOWN,
        "licenseDeclared": UNKNOWN,
        "copyrightText": UNKNOWN,
        "sourceInfo": f"built from source package {package.source} {package.source_version}",
        "externalRefs": [
            {"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl", "referenceLocator": url},
        ],
    }
    if name and address:
        found["supplier"] = f"Organization: {name} ({address})"
    if re.fullmatch(r"https?://[^\s<>\"]+", package.homepage):
        found["homepage"] = package.homepage
    if package.summary:
        found["summary"] = package.summary
    return found


def _artefact(number: int, artefact: Artefact) -> dict[str, object]:
    return {
        "SPDXID": f"SPDXRef-Artefact-{number}",
        "name": artefact.name,
        "packageFileName": f"./{artefact.name}",
        "downloadLocation": UNKNOWN,
        "filesAnalyzed": False,
        "licenseConcluded": UNKNOWN,
        "licenseDeclared": UNKNOWN,
        "copyrightText": UNKNOWN,
        "checksums": [{"algorithm": "SHA256", "checksumValue": artefact.sha256}],
    }


def _relation(one: str, kind: str, other: str) -> dict[str, str]:
    return {"spdxElementId": one, "relationshipType": kind, "relatedSpdxElement": other}


def _identifier(text: str) -> str:
    """Letters, digits, dots and hyphens are all an SPDX identifier may have; names of packages also have a plus."""
    return re.sub(r"[^A-Za-z0-9.-]", lambda m: f".{ord(m[0]):x}.", text)
