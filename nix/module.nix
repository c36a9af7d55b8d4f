# services.b1000: the configuration in /etc/b1000, and the package's units with
# what they need on NixOS. Timers, sockets and drop-ins of jobs are not made here:
# b1000-generator makes them of the same configuration, as on any other host.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  cfg = config.services.b1000;
  ini = import ./ini.nix { inherit lib; };
  inherit (lib) mapAttrs' mkIf mkMerge nameValuePair;

  titled = kind: mapAttrs' (name: nameValuePair "${kind}:${name}");

  # A passive job stores nothing itself, and serves by the host's certificate.
  ofJob =
    job:
    if job.direction != "passive" then
      job
    else
      removeAttrs job [ "type" ]
      // lib.optionalAttrs (job.listen != null) (
        lib.genAttrs [ "tls_cert" "tls_key" "tls_ca" ] (
          key: if job.${key} != null then job.${key} else cfg.passive.${key}
        )
      );

  text = ini.text cfg.settings;
  canRun = pkgs.stdenv.buildPlatform.canExecute pkgs.stdenv.hostPlatform;

  # A copy is checked: what is in the store belongs to nobody in the eyes of a
  # builder, and the program wants the file of somebody whom it can trust.
  configFile =
    pkgs.runCommand "b1000.cfg"
      {
        inherit text;
        passAsFile = [ "text" ];
        preferLocalBuild = true;
      }
      (
        lib.optionalString (cfg.checkConfig && canRun) ''
          cp "$textPath" b1000.cfg
          chmod 600 b1000.cfg
          ${cfg.package}/bin/b1000ctl check --syntax -f b1000.cfg
        ''
        + ''
          cp "$textPath" "$out"
        ''
      );

  # Programs of the scripts: those of the administrator, too, as on other hosts.
  scriptPath =
    cfg.path
    ++ cfg.package.runtimeInputs or [ ]
    ++ [
      "/run/wrappers"
      "/run/current-system/sw"
    ];

  # What the package ships is a file; this becomes overrides.conf beside it.
  dropIn = more: { overrideStrategy = "asDropin"; } // more;

  portOf = listen: lib.toInt (lib.last (lib.splitString ":" (toString listen)));
  listening = lib.filterAttrs (_: job: job.direction == "passive" && job.listen != null) cfg.jobs;
in
{
  options.services.b1000 = import ./options.nix { inherit lib pkgs; };

  config = mkIf cfg.enable (mkMerge [
    {
      assertions = import ./assertions.nix { inherit cfg lib ini; };

      services.b1000.settings = mkMerge [
        (titled "job" (lib.mapAttrs (_: ofJob) cfg.jobs))
        (titled "dest" cfg.destinations)
        (titled "report" cfg.reports)
        (titled "stream" cfg.streams)
      ];

      environment.etc."b1000/b1000.cfg".source = configFile;
      environment.systemPackages = [ cfg.package ];

      # The generator is in lib/systemd/system-generators, where NixOS finds it;
      # to name it in systemd.generators as well breaks the build of the system.
      systemd.packages = [ cfg.package ];
      systemd.tmpfiles.packages = [ cfg.package ];

      # A backup is not broken off because the system is switched.
      systemd.services."b1000@" = dropIn {
        restartIfChanged = false;
        path = scriptPath;
      };
      systemd.services."b1000-passive@" = dropIn {
        restartIfChanged = false;
        path = scriptPath;
      };
      # Made by the generator where the configuration is at fault; calls cat, which
      # is found by the default PATH of NixOS that every drop-in brings.
      systemd.services.b1000-config = dropIn { restartIfChanged = false; };

      # After a switch: a timer that is new is to be started, one of a job that is
      # gone to be stopped. At boot the generator has just done its work.
      systemd.services.b1000-reload = {
        description = "Timers and sockets of backups, after a change";
        wantedBy = [ "multi-user.target" ];
        after = [
          "timers.target"
          "sockets.target"
        ];
        restartTriggers = [ configFile ];
        path = [ config.systemd.package ];
        serviceConfig = {
          Type = "oneshot";
          RemainAfterExit = true;
          ExecCondition = ''/bin/sh -c 'test "$(systemctl is-system-running)" != starting' '';
          ExecStart = "${cfg.package}/bin/b1000ctl reload";
        };
      };
    }

    {
      # Where a host that fetches looks; the program does not make it.
      systemd.tmpfiles.settings.b1000-reports = lib.mapAttrs' (
        _: report:
        nameValuePair report.path {
          d = {
            user = "root";
            group = "root";
            mode = "0700";
          };
        }
      ) (lib.filterAttrs (_: report: report.type == "file" && report.path != null) cfg.reports);
    }

    (mkIf cfg.passive.openFirewall {
      networking.firewall.allowedTCPPorts = lib.mapAttrsToList (_: job: portOf job.listen) listening;
    })

    (mkIf cfg.textfile.enable {
      services.b1000.settings.global.textfile_dir = cfg.textfile.directory;
      systemd.tmpfiles.settings.b1000-textfile.${cfg.textfile.directory}.d = {
        user = "root";
        group = "root";
        mode = "0755";
      };
    })

    # The exporter's module has no option for it.
    (mkIf (cfg.textfile.enable && cfg.textfile.configureExporter && config.services.prometheus.exporters.node.enable) {
      services.prometheus.exporters.node = {
        enabledCollectors = [ "textfile" ];
        extraFlags = [ "--collector.textfile.directory=${cfg.textfile.directory}" ];
      };
    })

    (mkIf cfg.storage.enable (import ./storage.nix {
        inherit
          cfg
          configFile
          lib
          ini
          ;
      }))
  ]);

  meta.doc = ./module.md;
}
