# The programs, linked statically, with units, generator, manual and completions
# where NixOS and other users of Nix look for them.
{
  lib,
  stdenv,
  buildGoModule,
  installShellFiles,
  makeBinaryWrapper,
  openssh,
  rsync,
  util-linux,
  version ? "0.1.0",
}:
let
  # What the programs call by name. restic and the databases' dump programs are
  # for those who use them: services.b1000.path, or the user's own PATH.
  runtimeInputs = [
    openssh
    rsync
    util-linux
  ];
in
buildGoModule {
  pname = "b1000";
  inherit version;

  src = lib.cleanSourceWith {
    src = lib.cleanSource ../.;
    filter = path: _: !(lib.elem path (map toString [ ../bin ../.cache ]));
  };

  # Of "go mod vendor"; "go run ./nix/vendorhash -update" writes it.
  vendorHash = "sha256-XX3e/5SnlNKV9/VSwdUM25ZYl/ZPAeMIGGkGIiUFlcA=";

  subPackages = map (name: "cmd/${name}") (lib.attrNames (builtins.readDir ../cmd));

  env.CGO_ENABLED = 0;

  ldflags = [
    "-s"
    "-w"
    "-X b1000/internal/host.Version=${version}"
  ];

  nativeBuildInputs = [
    installShellFiles
    makeBinaryWrapper
  ];

  # The tests boot hosts and start databases: they need root and a network.
  doCheck = false;

  # What runs here is what "make install" installs. The generator is not wrapped:
  # it is called before there is anything to call.
  postInstall = ''
    install -D -t $out/lib/systemd/system-generators $out/bin/b1000-generator
    rm $out/bin/b1000-generator

    for unit in units/*.service units/*.socket units/*.slice; do
      [ -e "$unit" ] || continue
      install -D -m 644 -t $out/lib/systemd/system "$unit"
      substituteInPlace $out/lib/systemd/system/''${unit##*/} --replace-quiet /usr/bin/b1000 $out/bin/b1000
    done
    install -D -m 644 units/b1000.catalog $out/lib/systemd/catalog/b1000.catalog
    install -D -m 644 units/b1000.tmpfiles $out/lib/tmpfiles.d/b1000.conf
    install -D -m 755 -t $out/share/b1000/scripts contrib/scripts/*.sh

    for page in man/*.[1-8]; do
      [ ! -e "$page" ] || installManPage "$page"
    done
  ''
  + lib.optionalString (stdenv.buildPlatform.canExecute stdenv.hostPlatform) ''
    for shell in bash zsh fish; do
      $out/bin/b1000ctl completion $shell >b1000ctl.$shell
      installShellCompletion --cmd b1000ctl --$shell b1000ctl.$shell
    done
  ''
  + ''
    for program in $out/bin/*; do
      wrapProgram "$program" --suffix PATH : ${lib.makeBinPath runtimeInputs}
    done
  '';

  doInstallCheck = stdenv.buildPlatform.canExecute stdenv.hostPlatform;
  installCheckPhase = ''
    runHook preInstallCheck
    for program in b1000 b1000ctl b1000d; do
      $out/bin/$program --version | grep -F ${lib.escapeShellArg version}
    done
    runHook postInstallCheck
  '';

  passthru = { inherit runtimeInputs; };

  meta = {
    description = "Backups of Linux machines to several places at once, as plain directories";
    license = lib.licenses.mit;
    mainProgram = "b1000";
    platforms = lib.platforms.linux;
  };
}
