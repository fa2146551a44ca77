"""The clients that fetch packages, images and files, and the names we give them.

A table and nothing else: the lower-case product name of a user agent, the name that a report shows, and what kind of client it is.
A client that is missing here is still named after its first product; the table adds aliases and says who is never a crawler.
"""

from __future__ import annotations

from typing import Final

__all__ = ["KINDS", "NAMES"]

# "product" or "product=client name"; an underscore in a product stands for a space.
_TABLE: Final = {
    # Clients that install or publish packages.
    "package": """
        pip pip3=pip uv rye poetry pdm pipenv pipx hatch flit pex pants bazel setuptools
        distribute easy_install=setuptools twine maturin pyflow pixi rattler conda mamba micromamba libmamba=mamba boa enscons
        briefcase chaquopy pyodide micropip buildout zc.buildout unearth pypi-simple resolvelib simpleindex npm pnpm yarn bun deno
        jspm cnpm tnpm bower lerna rush nvm fnm volta corepack cargo rustup crates.io-index=cargo gradle maven apache-maven=maven
        aether=maven maven-artifact=maven maven-resolver=maven apache-ivy=ivy ivy sbt coursier leiningen boot mill ant bndtools p2
        rubygems bundler gem=rubygems gems=rubygems cocoapods carthage swiftpm swiftpackagemanager=swiftpm composer pear pecl nuget
        paket dnx microsoft_.net_development_utility=dnx chocolatey chocolatey_core=chocolatey scoop winget winget-cli=winget
        package-installer webmatrix powershellget windowspowershell=powershell powershell monodevelop monodevelop-unity=monodevelop
        xamarin_studio xamarin_updater sharpdevelop dotpeek=jetbrains_dotpeek resharper jetbrains_teamcity cake_nuget_client
        nuget_package_explorer nuget_package_explorer_metro nugetpackageexplorer=nuget_package_explorer vsts-task-installer
        vsts-task-tool-lib azure-pipelines-tool cabal cabal-install=cabal stack hackage-security=cabal opam mix hex rebar rebar3 elm
        elm-package luarocks cpan cpanm cpanminus=cpanm cpanplus pub dart_pub=pub dub nimble julia pkg.jl=julia rstudio r renv conan
        vcpkg spack easybuild guix nix nixpkgs=nix apt apt-http=apt apt-https=apt apt-curl=apt aptitude apt-cacher-ng dnf dnf5=dnf
        libdnf=dnf libdnf5=dnf yum rpm-ostree microdnf packagekit zypper zypp=zypper libzypp=zypper pacman yay paru apk
        apk-tools=apk xbps urpmi portage emerge=portage slapt-get slackpkg pkg pkgng=pkg pkgsrc pkgin macports
        macports-base=macports homebrew linuxbrew=homebrew brew=homebrew opkg swupd eopkg flatpak snapd snap=snapd ostree
        libostree=ostree appimageupdate fwupd anaconda ansible ansible-galaxy ansible-httpget=ansible puppet
        puppet_forge_module_tool=puppet chef chef_client=chef chef_knife=chef salt berkshelf librarian r10k terraform opentofu
        pulumi packer vagrant asdf mise rtx sdkman jenv jabba rbenv pyenv vscode vscodium open-vsx jetbrains intellij_idea eclipse
        android_studio sdkmanager dotnet-install skaffold devbox proto moon aqua eget
        cookiecutter pre-commit tiup
    """,
    # Clients that pull images and other OCI artifacts.
    "container": """
        docker docker-client=docker dockerd=docker moby compose=docker-compose docker-compose docker-buildx=buildx buildx buildkit
        buildkitd=buildkit containerd containerd-client=containerd ctr=containerd nerdctl cri-o crio=cri-o kubelet kaniko containers
        skopeo buildah podman cri-dockerd rkt crane gcrane go-containerregistry ko ggcr=go-containerregistry cosign notation oras
        oras-go oras-py helm helmfile flux source-controller fluxcd kustomize kubectl carvel imgpkg vendir img buildpacks pack
        lifecycle jib regclient regctl regsync regbot stargz estargz nydus dragonfly spegel singularity apptainer enroot umoci trivy
        grype syft clair snyk earthly dagger tilt werf wasm-to-oci porter opm ollama lima colima bootc zot-client
    """,
    # Programs that keep copies for others to install from.
    "mirror": """
        bandersnatch devpi devpi-server=devpi devpi-web=devpi devpi-client pep381client pep381client-proxy=pep381client
        z3c.pypimirror pypimirror artifactory jfrog_artifactory=artifactory nexus sonatype_nexus=nexus nexus-repository=nexus proget
        inedo_proget=proget myget baget bagetter azureartifacts=azure_artifacts azure_artifacts cloudsmith pulp pulpcore=pulp
        pulp_python=pulp pulp-python=pulp foreman katello harbor harbor-registry-client=harbor quay distribution-registry zot
        verdaccio sinopia cnpmcore npm-registry-proxy archiva reposilite gitlab-dependency-proxy gitea forgejo proxpi pypiserver
        pypi-mirror morgan simple-repository apt-mirror debmirror aptly reprepro createrepo reposync apt-cacher athens goproxy
        goproxy.io jfrog libraries.io checkmarx-sourcecodedownloader=checkmarx_sourcecodedownloader
        checkmarx-nugetsourcecodeprioritycollector=checkmarx_nugetsourcecodeprioritycollector softwareheritage swh renovate-mirror
        nugetmirror
    """,
    # Programs that a person or a script runs to fetch a file.
    "tool": """
        curl wget wget2 aria2 aria2c=aria2 axel lftp httpie fetch fetch_libfetch=fetch gh_cli=gh github_cli=gh libfetch=fetch
        openbsd_ftp netbsd-ftp tnftp ftp lwp-request w3m-fetch xh curlie hey wrk k6 vegeta siege ab apachebench=ab
        apache-jmeter=jmeter jmeter postmanruntime=postman postman insomnia bruno fiddler soapui hurl thunder_client rclone
        s3_browser cyberduck transmit filezilla winscp crossftp mountain_duck expandrive aws-cli aws-sdk-go gsutil gcloud
        google-cloud-sdk=gcloud azcopy azure-cli azurecli=azure-cli s3cmd s3fs mc minio gh github-cli=gh glab git jgit libgit2
        git-lfs hg mercurial svn jdownloader internet_download_manager=idm idm free_download_manager=fdm fdm uget youtube-dl yt-dlp
        transmission qbittorrent deluge utorrent bits microsoft_bits=bits microsoft-delivery-optimization=delivery-optimization
        iteminstaller cloud-init ignition coreos-installer busybox bitbake buildroot certutil httpunit
    """,
    # What programs are made with: tells nothing of who is calling.
    "library": """
        python-requests requests=python-requests python-urllib urllib3 python-urllib3=urllib3 python-httpx httpx=python-httpx
        aiohttp treq tornado twisted twisted_pagegetter=twisted mechanize pycurl httplib2 python-httplib2=httplib2 grequests
        urlgrabber restsharp boto boto3 botocore aiobotocore s3transfer jets3t smart_open fsspec gcsfs apache-libcloud=libcloud
        libcloud go-http-client go=go-http-client resty go-resty=resty req fasthttp grab go-getter gentleman okhttp
        apache-httpclient jakarta_commons-httpclient=apache-httpclient apache-httpasyncclient=apache-httpclient java
        java-http-client ktor-client ktor dalvik jersey retrofit unirest-java unirest feign-http httpurlconnection async-http-client
        ahc akka-http pekko-http play-ws spray-can scalaj-http dispatch reactornetty=reactor-netty reactor-netty vert.x-webclient
        netty jetty http4s http4s-ember http4s-blaze sttp clj-http http-kit jodd libwww-perl lwp-trivial=libwww-perl
        lwp::simple=libwww-perl www-mechanize mojolicious anyevent-http http-tiny furl ruby faraday httparty rest-client typhoeus
        http.rb excon patron guzzle guzzlehttp=guzzle symfony_httpclient=symfony-httpclient php-curl-class
        zend_http_client=zend-http php pecl::http=php-http buzz node node.js=node node-fetch axios got undici superagent
        node-superagent=superagent request needle ky minipass-fetch node-urllib=urllib phin bent node-libcurl reqwest hyper ureq
        isahc surf attohttpc rust libcurl libcurl-agent curl-rust=libcurl winhttp wininet microsoft_url_control cpprestsdk
        c++_rest_sdk=cpprestsdk poco pion qt qtnetwork=qt libsoup libfetch neon serf gvfs kio cfnetwork alamofire afnetworking
        urlsession swift dart aws-sdk-java aws-sdk-js aws-sdk-cpp aws-sdk-go-v2 aws-sdk-ruby aws-sdk-ruby2 aws-sdk-ruby3 aws-sdk-php
        aws-sdk-nodejs aws-sdk-dotnet-core aws-sdk-rust google-api-python-client gcloud-python azsdk-python azsdk-net azsdk-js
        azsdk-go azsdk-java mint_http=mint mint hackney finch tesla httpoison ibrowse erlang gun clojure http-conduit haskell-http
        wreq ocaml-cohttp cohttp crystal elixir julia-http httr curl-httr lua-resty-http luasocket unirest-php unirest-python
        unirest-nodejs unirest-ruby unirest-net pcore-http img2dataset trafilatura newspaper colly
    """,
    # A runtime's name in front of the library that uses it, as in "Python/3.9 aiohttp/3.7.3".
    "runtime": "python cpython pypy perl jruby openjdk .net dotnet mono",
}


def _rows() -> dict[str, tuple[str, str]]:
    rows: dict[str, tuple[str, str]] = {}
    for kind, names in _TABLE.items():
        for entry in names.split():
            product, _, name = entry.replace("_", " ").partition("=")
            rows.setdefault(product, (name or product, kind))
            # A product whose name really holds an underscore is found under both spellings.
            rows.setdefault(entry.partition("=")[0], (name or product, kind))
    return rows


#: Lower-case product name -> (client name, kind).
NAMES: Final = _rows()

#: Every kind in the table, from the one that says most about the caller to the one that says least.
KINDS: Final = tuple(_TABLE)
