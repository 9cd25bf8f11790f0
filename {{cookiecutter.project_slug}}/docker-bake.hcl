variable "IMAGE" { default = "{{ cookiecutter.project_slug }}:latest" }
variable "VERSION" { default = "" }
variable "REVISION" { default = "" }
variable "PLATFORMS" { default = "linux/amd64,linux/arm64" }
variable "DOCKER_BUILD_FLAGS" { default = "" }
variable "OUTPUT" { default = "type=registry" }
variable "SSL_CERT_FILE" { default = "" }
variable "NETRC" { default = "" }
variable "PIP_CONFIG_FILE" { default = "" }
{%- if "alpine" in cookiecutter.base_image %}
variable "APK_REPOSITORIES" { default = "" }
{%- else %}
variable "APT_SOURCES" { default = "" }
{%- endif %}
{%- if cookiecutter.__vcs %}
variable "GIT_CONFIG_GLOBAL" { default = "" }
{%- endif %}
{%- if "git+ssh" in cookiecutter.github_dependency %}
variable "KNOWN_HOSTS" { default = "" }
variable "SSH_AUTH_SOCK" { default = "" }
{%- endif %}

target "default" {
  tags    = [IMAGE]
  network = try(regex("--network=(\\S+)", DOCKER_BUILD_FLAGS)[0], "")
  args    = { VERSION = VERSION, REVISION = REVISION }
  labels = {
    "org.opencontainers.image.title"       = "{{ cookiecutter.project_slug }}"
    "org.opencontainers.image.description" = {{ cookiecutter.description | hcl_quoted }}
    "org.opencontainers.image.authors"     = {{ (cookiecutter.author_name ~ " <" ~ cookiecutter.author_email ~ ">") | hcl_quoted }}
    "org.opencontainers.image.licenses"    = "{{ cookiecutter.__spdx_license }}"
    "org.opencontainers.image.source"      = "{{ cookiecutter.repository_url }}"
    "org.opencontainers.image.version"     = VERSION
    "org.opencontainers.image.revision"    = REVISION
  }
  secret = [for it in [
    { id = "ca", src = SSL_CERT_FILE },
    { id = "netrc", src = NETRC },
    { id = "pip_config", src = PIP_CONFIG_FILE },
    { id = "pip_index_url", env = "PIP_INDEX_URL" },
    { id = "pip_extra_index_url", env = "PIP_EXTRA_INDEX_URL" },
{%- if "alpine" in cookiecutter.base_image %}
    { id = "apk_repositories", src = APK_REPOSITORIES },
{%- else %}
    { id = "apt_sources", src = APT_SOURCES },
{%- endif %}
{%- if cookiecutter.__vcs %}
    { id = "git_config", src = GIT_CONFIG_GLOBAL },
{%- endif %}
{%- if "git+ssh" in cookiecutter.github_dependency %}
    { id = "known_hosts", src = KNOWN_HOSTS },
{%- endif %}
  ] : it if try(it.src, it.env) != ""]
{%- if "git+ssh" in cookiecutter.github_dependency %}
  ssh = SSH_AUTH_SOCK == "" ? [] : ["default"]
{%- endif %}
}

# Packed well, and built anew: files bear the time of the commit, which makes one image, to the byte.
target "release" {
  inherits  = ["default"]
  no-cache  = true
  platforms = split(",", PLATFORMS)
  output    = ["${OUTPUT},rewrite-timestamp=true,compression-level=9"]
  # More than the least provenance would tell the build arguments: the password of a proxy, too.
  attest = ["type=provenance,mode=min", "type=sbom"]
  annotations = [for name, value in target.default.labels : "index,manifest:${name}=${value}"]
}
