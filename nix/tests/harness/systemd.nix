# systemd's options as NixOS has them, and the text that it makes of them.
# https://github.com/NixOS/nixpkgs/blob/master/nixos/lib/systemd-lib.nix is what
# this has to agree with.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  inherit (lib) mkOption types;

  scalar = types.oneOf [
    types.bool
    types.int
    types.str
  ];
  section = mkOption {
    type = types.attrsOf (types.either scalar (types.listOf scalar));
    default = { };
  };
  of =
    type: default:
    mkOption {
      inherit type default;
    };
  units = of (types.listOf (types.strMatching "[a-zA-Z0-9@:_.-]+[.](service|socket|timer|target)")) [ ];

  orders = {
    after = "After";
    before = "Before";
    requires = "Requires";
    wants = "Wants";
  };

  common =
    lib.mapAttrs (_: _: units) orders
    // {
      enable = of types.bool true;
      description = of types.str "";
      wantedBy = units;
      unitConfig = section;
      overrideStrategy = of (types.enum [
        "asDropin"
        "asDropinIfExists"
      ]) "asDropinIfExists";
    };

  service = common // {
    environment = of (types.attrsOf types.str) { };
    path = of (types.listOf (types.either types.package types.str)) [ ];
    restartIfChanged = of types.bool true;
    restartTriggers = of (types.listOf types.unspecified) [ ];
    serviceConfig = section;
  };

  socket = common // {
    listenStreams = of (types.listOf types.str) [ ];
    socketConfig = section;
  };

  print = v: if builtins.isBool v then lib.boolToString v else toString v;
  lines =
    set:
    lib.concatStrings (
      lib.concatLists (lib.mapAttrsToList (key: v: map (x: "${key}=${print x}\n") (lib.toList v)) set)
    );
  unitSection =
    u:
    "[Unit]\n"
    + lines (
      lib.filterAttrs (_: v: v != "") (
        lib.mapAttrs' (option: key: lib.nameValuePair key (toString u.${option})) orders
        // {
          Description = u.description;
        }
      )
      // u.unitConfig
    );
  install =
    u: lib.optionalString (u.wantedBy != [ ]) "\n[Install]\nWantedBy=${toString u.wantedBy}\n";

  # A service finds these after what it names itself, in this order.
  defaultPath = [
    pkgs.coreutils
    pkgs.findutils
    pkgs.gnugrep
    pkgs.gnused
    config.systemd.package
  ];
  pathOf =
    u:
    let
      all = map toString (u.path ++ defaultPath);
    in
    lib.concatStringsSep ":" (map (p: "${p}/bin") all ++ map (p: "${p}/sbin") all);

  text = {
    service =
      u:
      unitSection u
      + "\n[Service]\n"
      + lib.concatStrings (
        lib.mapAttrsToList (k: v: "Environment=${builtins.toJSON "${k}=${v}"}\n") (
          { PATH = pathOf u; } // u.environment
        )
      )
      + lib.optionalString (!u.restartIfChanged) "X-RestartIfChanged=false\n"
      + lines u.serviceConfig
      + install u;
    socket =
      u:
      unitSection u
      + "\n[Socket]\n"
      + lines u.socketConfig
      + lib.concatMapStrings (s: "ListenStream=${s}\n") u.listenStreams
      + install u;
  };
  rendered =
    kind:
    lib.mapAttrs' (
      name: u:
      lib.nameValuePair "${name}.${kind}" {
        inherit (u) enable overrideStrategy wantedBy;
        text = text.${kind} u;
      }
    ) config.systemd."${kind}s";
  each =
    options:
    mkOption {
      type = types.attrsOf (types.submodule { inherit options; });
      default = { };
    };
in
{
  options.systemd = {
    package = of types.package pkgs.systemd;
    packages = of (types.listOf types.package) [ ];
    services = each service;
    sockets = each socket;
    tmpfiles.packages = of (types.listOf types.package) [ ];
    tmpfiles.settings = of (types.attrsOf types.anything) { };
    tmpfiles.rules = of (types.listOf types.str) [ ];
    units = of (types.attrsOf types.unspecified) { };
  };
  config.systemd.units = rendered "service" // rendered "socket";
}
