# The outputs of the project's flake, with what stands in for nixpkgs here.
{ libPath }:
let
  lib = import libPath;
  flake = import ../../../flake.nix;

  evaluated =
    modules:
    import ./. {
      inherit libPath modules;
      module = { };
    };

  base = import ./pkgs.nix { inherit lib; } // {
    installShellFiles = "installShellFiles";
    makeBinaryWrapper = "makeBinaryWrapper";
    mariadb = "mariadb";
    python3 = "python3";
    shellcheck = "shellcheck";
    attr = "attr";
    nixfmt = "nixfmt";
    nixfmt-tree = "nixfmt-tree";
    mkShell = lib.id;
    testers.runNixOSTest = lib.id;
    buildGoModule =
      args:
      {
        type = "derivation";
        outPath = "/nix/store/00000000000000000000000000000000-b1000-${args.version}";
      }
      // args
      // args.passthru;
  };
  # What nixpkgs' fixed point does, for one overlay.
  extended =
    overlay:
    let
      final = base // overlay final base // {
        callPackage =
          path: more:
          let
            f = import path;
          in
          f (builtins.intersectAttrs (builtins.functionArgs f) final // more);
      };
    in
    final;

  self = outputs // {
    shortRev = "abc1234";
  };
  outputs = flake.outputs {
    inherit self;
    nixpkgs = {
      lib = lib // {
        nixosSystem = { modules }: { config.system.build.toplevel = evaluated modules; };
      };
      legacyPackages = lib.genAttrs [ "x86_64-linux" "aarch64-linux" ] (_: base // { extend = extended; });
    };
  };
  of = system: {
    package = outputs.packages.${system}.default.outPath;
    example = {
      inherit (outputs.checks.${system}.example) failed;
      text = outputs.checks.${system}.example.result.etc."b1000/b1000.cfg";
    };
    network = outputs.checks.${system}.vm.name;
    format = outputs.checks.${system}.format.script;
    formatter = outputs.formatter.${system};
    shell = map toString outputs.devShells.${system}.default.packages;
  };
in
{
  names = lib.attrNames outputs;
  input = flake.inputs.nixpkgs.url;
  systems = lib.genAttrs (lib.attrNames outputs.packages) of;
}
