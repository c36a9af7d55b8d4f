# What package.nix asks of buildGoModule, as far as a test can act on it.
{ libPath }:
let
  lib = import libPath;
  pkgs = import ./pkgs.nix { inherit lib; };
in
import ../../package.nix {
  inherit lib;
  inherit (pkgs)
    stdenv
    openssh
    rsync
    util-linux
    ;
  buildGoModule = args: {
    inherit (args)
      pname
      version
      subPackages
      ldflags
      postInstall
      ;
    license = args.meta.license.spdxId;
    inherit (args.env) CGO_ENABLED;
  };
  installShellFiles = null;
  makeBinaryWrapper = null;
}
