# The options of NixOS, systemd's aside, that the module and the test of a whole
# network set: their types as far as they matter here.
{ lib, ... }:
let
  inherit (lib) mkOption types;
  of =
    type: default:
    mkOption {
      inherit type default;
    };
  anything = of types.anything { };
in
{
  options = {
    assertions = of (types.listOf types.unspecified) [ ];
    warnings = of (types.listOf types.str) [ ];
    meta = anything;
    networking = {
      hostName = of types.str "host";
      primaryIPAddress = of types.str "192.0.2.1";
      firewall.allowedTCPPorts = of (types.listOf types.port) [ ];
    };
    environment.systemPackages = of (types.listOf types.package) [ ];
    environment.etc = mkOption {
      default = { };
      type = types.attrsOf (
        types.submodule {
          options = {
            text = of (types.nullOr types.lines) null;
            source = of (types.nullOr types.unspecified) null;
            mode = of types.str "symlink";
          };
        }
      );
    };
    services.prometheus.exporters.node = {
      enable = of types.bool false;
      enabledCollectors = of (types.listOf types.str) [ ];
      extraFlags = of (types.listOf types.str) [ ];
    };
    boot.isContainer = of types.bool false;
    nixpkgs = {
      hostPlatform = of types.str "x86_64-linux";
      overlays = of (types.listOf types.unspecified) [ ];
    };
    system.stateVersion = of types.str "";
    specialisation = mkOption {
      default = { };
      type = types.attrsOf (types.submodule { options.configuration = of types.unspecified { }; });
    };
  };
}
