# What a release has besides what `make docker` builds. `make release` adds what it takes from outside.
variable "VERSION" {
  default = ""
}
variable "REVISION" {
  default = ""
}

target "default" {
  platforms = ["linux/amd64", "linux/arm64"]
  # More than the least provenance would tell the build arguments: the password of a proxy, too.
  attest = ["type=provenance,mode=min", "type=sbom"]
  # The labels of the Dockerfile, for registries, which do not look into an image.
  annotations = [for name, value in {
    title       = "{{ cookiecutter.project_slug }}"
    description = {{ cookiecutter.description | hcl_quoted }}
    authors     = {{ (cookiecutter.author_name ~ " <" ~ cookiecutter.author_email ~ ">") | hcl_quoted }}
    licenses    = "{{ cookiecutter.__spdx_license }}"
    source      = "https://github.com/{{ cookiecutter.github_organization }}/{{ cookiecutter.project_slug }}"
    version     = VERSION
    revision    = REVISION
  } : "index,manifest:org.opencontainers.image.${name}=${value}"]
}
