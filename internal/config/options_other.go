package config

const remote = "active restic" // the types that a backup is stored on

var destOptions = []Option{
	{Name: "type", Kind: Enum, Values: "active passive restic", Need: "*", Doc: "a place to store at, a host that will fetch, or a restic repository"},
	{Name: "path", Kind: Text, In: "active", Need: "active", Doc: "/directory, rsync://host/module, host:/directory or b1000://host"},
	{Name: "exclude", Kind: WordList, In: remote, Doc: "patterns for what is left out here"},
	{Name: "verbosity", Kind: Int, Min: 1, Max: 3, In: remote, Default: "1", Doc: "how much the copy tells"},
	{Name: "host", Kind: Name, In: "passive", Need: "passive", Doc: "host that fetches the data"},
	{Name: "timeout", Kind: Duration, In: "passive", Default: "1h", Doc: "how long the fetching may take"},
	{Name: "password", Kind: Secret, In: remote, Doc: "password, better kept in a password_file"},
	{Name: "password_file", Kind: Path, In: remote, Doc: "file that holds the password"},
	{Name: "repository", Kind: Text, In: "restic", Need: "restic", Doc: "repository as restic names it"},
	{Name: "environment_file", Kind: Path, In: "restic", Doc: "file of NAME=value lines for restic"},
	{Name: "compress", Kind: Enum, Values: "no yes zstd lz4 zlib zlibx auto max", In: remote, Doc: "compression on the way; zstd for a remote path and none for a local one where not set"},
	{Name: "bwlimit", Kind: Rate, In: remote, Doc: "limit of the bandwidth; wins over the job's"},
	{Name: "max_copies", Kind: Int, Min: 1, Max: 1000, In: remote, Doc: "how many copies of this host go here at once; no limit where not set"},
	{Name: "rsync_options", Kind: ArgList, In: "active", Doc: "further options of rsync, quoted as for a shell"},
	{Name: "split", Kind: Int, Min: 1, Max: 64, In: "active", Default: "1", Doc: "how many rsyncs work at parts of the tree at once"},
	{Name: "tls_cert", Kind: Path, In: remote, Doc: "certificate of this host"},
	{Name: "tls_key", Kind: Path, In: remote, Doc: "private key of this host"},
	{Name: "tls_ca", Kind: Path, In: remote, Doc: "authority that the server's certificate must come from"},
}

var reportOptions = []Option{
	{Name: "type", Kind: Enum, Values: "mysql sqlite file", Need: "*", Doc: "a database server, a database file, or report files"},
	{Name: "server", Kind: Text, In: "mysql", Need: "mysql", Doc: "host of the database"},
	{Name: "port", Kind: Int, Min: 1, Max: 65535, In: "mysql", Default: "3306", Doc: "port of the database"},
	{Name: "db", Kind: Text, In: "mysql", Need: "mysql", Doc: "name of the database"},
	{Name: "user", Kind: Text, In: "mysql", Need: "mysql", Doc: "user of the database"},
	{Name: "password", Kind: Secret, In: "mysql", Doc: "password, better kept in a password_file"},
	{Name: "password_file", Kind: Path, In: "mysql", Doc: "file that holds the password"},
	{Name: "tls", Kind: Enum, Values: "no yes preferred skip-verify", In: "mysql", Default: "no", Doc: "encryption of the connection"},
	{Name: "path", Kind: Path, In: "sqlite file", Need: "file", Doc: "database file (/var/lib/b1000/reports.db), or directory of the report files"},
}

const databases = "mysql mariadb postgresql"

var streamOptions = []Option{
	{Name: "type", Kind: Enum, Values: "command mongodb mysql mariadb postgresql sqlite", Default: "command", Doc: "which program makes the stream"},
	{Name: "command", Kind: Script, In: "command", Need: "command", Late: true, Doc: "command whose standard output is stored"},
	{Name: "restore_command", Kind: Script, Late: true, Doc: "command that takes the stored stream on standard input"},
	{Name: "file", Kind: Text, Late: true, Doc: "name under which the stream is stored; that of the section where not set"},
	{Name: "allow_empty", Kind: Bool, Default: "no", Doc: "take an empty stream for a good one"},
	{Name: "compress", Kind: Enum, Values: "no zstd", In: "command", Default: "no", Doc: "store the stream compressed, under a name that ends in .zst"},
	{Name: "timeout", Kind: Duration, Default: "0", Doc: "limit of the stream; 0 for none"},
	{Name: "host", Kind: Text, In: "mongodb " + databases, Late: true, Doc: "host of the database"},
	{Name: "port", Kind: Int, Min: 1, Max: 65535, In: "mongodb " + databases, Late: true, Doc: "port of the database"},
	{Name: "socket", Kind: Path, In: databases, Late: true, Doc: "socket of the database, or its directory"},
	{Name: "user", Kind: Text, In: "mongodb " + databases, Late: true, Doc: "user of the database"},
	{Name: "password", Kind: Secret, In: "mongodb " + databases, Doc: "password, better kept in a password_file"},
	{Name: "password_file", Kind: Path, In: "mongodb " + databases, Doc: "file that holds the password"},
	{Name: "auth_db", Kind: Text, In: "mongodb", Late: true, Doc: "database that knows the user"},
	{Name: "uri", Kind: Secret, In: "mongodb postgresql", Late: true, Doc: "connection string of the database"},
	{Name: "db", Kind: WordList, In: "mongodb " + databases, Late: true, Doc: "databases to dump; all where not set"},
	{Name: "tables", Kind: WordList, In: "mongodb " + databases, Late: true, Doc: "tables or collections to dump; all where not set"},
	{Name: "path", Kind: Path, In: "sqlite", Need: "sqlite", Late: true, Doc: "database file"},
	{Name: "options", Kind: WordList, In: "mongodb " + databases, Late: true, Doc: "further options of the dump program"},
}

var storageOptions = []Option{
	{Name: "path", Kind: Path, Need: "*", Doc: "directory that holds the backups of all clients"},
	{Name: "address", Kind: Text, Default: "0.0.0.0", Doc: "address to listen on"},
	{Name: "port", Kind: Int, Min: 1, Max: 65535, Default: "4200", Doc: "port to listen on"},
	{Name: "status_address", Kind: Text, Default: "127.0.0.1", Doc: "address of the status interface"},
	{Name: "status_port", Kind: Int, Min: 1, Max: 65535, Default: "4201", Doc: "port of the status interface"},
	{Name: "clients_dir", Kind: Path, Default: "/etc/b1000/clients", Doc: "directory with a file for each client"},
	{Name: "tls_cert", Kind: Path, Need: "*", Doc: "certificate of the server"},
	{Name: "tls_key", Kind: Path, Need: "*", Doc: "private key of the server"},
	{Name: "tls_ca", Kind: Path, Need: "*", Doc: "authority that the clients' certificates must come from"},
	{Name: "max_clients", Kind: Int, Min: 1, Max: 100000, Default: "32", Doc: "transfers served at once, half of them for one client at most; others wait"},
	{Name: "min_free", Kind: Share, Default: "2%", Doc: "how much of the disk is kept free: below that nothing is taken"},
	{Name: "fake_super", Kind: Bool, Default: "no", Doc: "keep owners, modes and devices in attributes beside the files; always so where the server is not root"},
}

var clientOptions = []Option{
	{Name: "ssl_peer_cn", Kind: Text, Need: "*", Doc: "common name or DNS name that the client's certificate must bear"},
	{Name: "quota", Kind: Size, Doc: "how much the client may store; no limit where not set"},
	{Name: "restic", Kind: Enum, Values: "append-only full no", Default: "append-only", Doc: "whether the client has a restic repository, and whether it may delete there"},
	{Name: "max_age", Kind: Duration, Doc: "age at which the last backup is shown as late; twice the usual time between two where not set"},
	{Name: "allow", Kind: EnumList, Values: "backup list show restore verify delete", Default: "backup list show restore", Doc: "what the client may ask for"},
}

var monitorOptions = []Option{
	{Name: "address", Kind: Text, Default: "127.0.0.1", Doc: "address to listen on"},
	{Name: "port", Kind: Int, Min: 1, Max: 65535, Default: "4202", Doc: "port to listen on"},
	{Name: "report", Kind: NameList, Doc: "reports that are watched; this host's SQLite file where not set"},
	{Name: "interval", Kind: Duration, Default: "5m", Doc: "time between two looks"},
	{Name: "notify", Kind: NameList, Doc: "notify sections that are told; all where not set"},
	{Name: "tls_cert", Kind: Path, Doc: "certificate of the server"},
	{Name: "tls_key", Kind: Path, Doc: "private key of the server"},
	{Name: "tls_ca", Kind: Path, Doc: "authority that the clients' certificates must come from"},
}

var notifyOptions = []Option{
	{Name: "type", Kind: Enum, Values: "command mail webhook", Need: "*", Doc: "how the notice is sent"},
	{Name: "command", Kind: Script, In: "command", Need: "command", Doc: "command that gets the notice on standard input"},
	{Name: "to", Kind: WordList, In: "mail", Need: "mail", Doc: "addresses of the recipients"},
	{Name: "from", Kind: Text, In: "mail", Doc: "address of the sender"},
	{Name: "server", Kind: Text, In: "mail", Default: "localhost:25", Doc: "mail server"},
	{Name: "user", Kind: Text, In: "mail", Doc: "user of the mail server"},
	{Name: "url", Kind: Secret, In: "webhook", Need: "webhook", Doc: "address that the notice is posted to"},
	{Name: "password", Kind: Secret, In: "mail webhook", Doc: "password or token, better kept in a password_file"},
	{Name: "password_file", Kind: Path, In: "mail webhook", Doc: "file that holds the password or token"},
	{Name: "when", Kind: EnumList, Values: "ok warning failed too_old never recovered", Default: "failed too_old recovered", Doc: "what is told"},
	{Name: "jobs", Kind: NameList, Doc: "jobs that are watched; all where not set"},
	{Name: "timeout", Kind: Duration, Default: "30s", Doc: "limit of one delivery"},
}
