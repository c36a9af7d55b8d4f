{
  description = "B1000: backups of Linux machines to several places at once";

  inputs.nixpkgs.url = "github:NixOS/nixpkgs/nixos-26.05";

  outputs =
    { self, nixpkgs }:
    let
      inherit (nixpkgs) lib;
      systems = [
        "x86_64-linux"
        "aarch64-linux"
      ];
      version = "0.1.0";
      forEach = f: lib.genAttrs systems (system: f (nixpkgs.legacyPackages.${system}.extend self.overlays.default));
    in
    {
      overlays.default = final: _: {
        b1000 = final.callPackage ./nix/package.nix {
          version = version + lib.optionalString (self ? shortRev) "-${self.shortRev}";
        };
      };

      packages = forEach (pkgs: {
        inherit (pkgs) b1000;
        default = pkgs.b1000;
      });

      # The module uses the package of this flake, unless told another.
      nixosModules.b1000 = {
        imports = [ (import ./nix/module.nix) ];
        nixpkgs.overlays = [ self.overlays.default ];
      };
      nixosModules.default = self.nixosModules.b1000;

      devShells = forEach (pkgs: {
        default = pkgs.mkShell {
          inputsFrom = [ pkgs.b1000 ];
          packages = pkgs.b1000.runtimeInputs ++ [
            pkgs.acl
            pkgs.attr
            pkgs.mariadb
            pkgs.python3
            pkgs.shellcheck
          ];
        };
      });

      formatter = forEach (pkgs: pkgs.nixfmt-tree);

      checks = forEach (pkgs: {
        package = pkgs.b1000;

        # The example of the module becomes a whole system, whose configuration is
        # checked by the program while it is built.
        example =
          (lib.nixosSystem {
            modules = [
              self.nixosModules.default
              ./nix/example.nix
              {
                nixpkgs.hostPlatform = pkgs.stdenv.hostPlatform.system;
                boot.isContainer = true;
                system.stateVersion = "26.05";
              }
            ];
          }).config.system.build.toplevel;

        vm = pkgs.testers.runNixOSTest (import ./nix/tests/vm.nix { module = import ./nix/module.nix; });

        format = pkgs.runCommand "format" { nativeBuildInputs = [ pkgs.nixfmt ]; } ''
          find ${./nix} ${./flake.nix} -name '*.nix' -exec nixfmt --check {} +
          touch $out
        '';
      });
    };
}
