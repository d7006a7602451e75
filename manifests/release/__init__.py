"""Releases: a folder another lab can load, check and cite; and exports to other layouts."""

from manifests.release.build import build_release
from manifests.release.check import check_release, unchecked
from manifests.release.imagefolder import EXPORTERS
from manifests.release.info import ReleaseInfo, ReleaseResult

__all__ = ["EXPORTERS", "ReleaseInfo", "ReleaseResult", "build_release", "check_release", "unchecked"]
