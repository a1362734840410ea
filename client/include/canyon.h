/* libcanyon: push gradients to parameter servers and receive fresh weights.
 *
 * A program connects to any one server of a job, creates or opens tensors, and then, step after step, sends the
 * gradient it computed and receives the weights the server made of it:
 *
 *     struct canyon_options options;
 *     canyon_options_init(&options);
 *     options.servers = "127.0.0.1:7077";
 *     canyon_client *client = NULL;
 *     if (canyon_connect(&options, &client) != CANYON_OK) { fprintf(stderr, "%s\n", canyon_error_text()); return 1; }
 *     ...
 *     canyon_close(client);
 *
 * ERRORS. Every call that can fail returns an enum canyon_status: stable numbers, see canyon_status.h. After a failure
 * canyon_error_text() says, on the same thread, what was wrong, with the values, and what to do.
 *
 * DEADLINES. Every call that talks to a server has one: the timeout_ms argument, in milliseconds from the call; 0 means
 * the client's default (options.timeout_ms). A server that is not there, dies or restarts gives an error within it; no
 * call hangs. (One that waits at a server, as create, open and barrier do, gives it a quarter of a second more to say
 * what was missing.)
 *
 * LOST CONNECTIONS. What is pushed, assigned or erased counts exactly once, and what is pulled is pulled again: when a
 * connection is lost, the library makes another, at intervals that grow, asks the server what has arrived, and sends
 * the rest again. Calls do not notice, as long as the server is back within their deadline and options.reconnect_ms;
 * canyon_client_counters does. If it is not, a call of which nothing was sent is CANYON_UNAVAILABLE, and after
 * reconnect_ms each further call tries once. That the server does not accept this client's key any more, or has
 * another key itself, is believed when six attempts in a row ended so: one that is cut looks the same. Calls about the
 * catalogue and the workers (create, open, drop, set, join, barrier) are not made again by themselves; a clock is told
 * again.
 *
 * CANYON_OUTCOME_UNKNOWN means that bytes of a call that changes something were sent, and no answer came:
 * - at the call's deadline: a push, assign or erase was not withdrawn. The library keeps a copy of what was not
 * answered and goes on sending it, before anything sent later, as long as the client and the server live and the server
 * is back within reconnect_ms: it counts once or not at all, never twice. Do not repeat it if that would be one too
 * many.
 * - the server did not come back, or came back without its parameters: it may have been applied before.
 * - the answer was lost with a connection, and since then so many pushes of this client were refused that the server
 * does not remember whether it was.
 * Blocks (of a table: shards) go their own ways: some may have been applied and others not. It is also the outcome when
 * some were, and others were not sent before the deadline.
 * A step whose gradients were all answered, and only weights that it pulls were not, is CANYON_TIMEOUT or
 * CANYON_UNAVAILABLE, and its text says so.
 *
 * THREADS. All calls may be made from any thread at any time on the same client, tensor or future, except that close,
 * tensor_close and future_release must be the last call on their object. A blocking call drives the network on the
 * caller's own thread when no other thread does; asynchronous calls use the client's own threads.
 *
 * BUFFERS. Gradients and weights are the caller's memory, used without a copy: the library reads a gradient from, and
 * writes weights to, that memory until the call returns, or, for an asynchronous call, until its future is done. Until
 * then do not change a gradient, nor read the weights. After CANYON_TIMEOUT or CANYON_OUTCOME_UNKNOWN the memory is the
 * caller's again. Two calls under way must not write to the same weights.
 *
 * FORK. A client does not survive fork(): in the child every call on it, canyon_close too, is an error or undefined.
 * Fork first and connect in each process.
 *
 * The library never prints, never changes signal handlers or the locale, and never exits. */
#ifndef CANYON_H
#define CANYON_H

#include <stddef.h>
#include <stdint.h>

#include "canyon_status.h"

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define CANYON_API __attribute__((visibility("default")))
#else
#define CANYON_API
#endif

typedef struct canyon_client canyon_client;
typedef struct canyon_tensor canyon_tensor;
typedef struct canyon_table canyon_table;
typedef struct canyon_cursor canyon_cursor;
typedef struct canyon_future canyon_future;

#define CANYON_MAX_RANK            8
#define CANYON_MAX_SETTINGS        32 /* of a tensor's optimizer, its schedule's among them */
#define CANYON_MAX_HYPERPARAMETERS 16
#define CANYON_MAX_SLOTS           4
#define CANYON_MAX_SCALARS         2
#define CANYON_MAX_DIM             16384        /* elements of a table's row */
#define CANYON_MAX_ROWS            (1ull << 48) /* of a table's cap and capacity */
#define CANYON_MAX_BATCH           (1u << 24)   /* ids in one call */
#define CANYON_NAME_BYTES          128          /* of names, with the NUL */
#define CANYON_DIGEST_BYTES        32
#define CANYON_MODE_BYTES          64 /* of a consistency mode's text, with the NUL */
#define CANYON_STALENESS_BUCKETS   33
#define CANYON_KEY_TEXT_BYTES      63 /* of a public key's text, with the NUL */

/* ---- The library ---------------------------------------------------------------------------------------------- */

/* "0.1.0". Static memory. */
CANYON_API const char *canyon_version(void);

/* The name of a code: "NOT_FOUND". Static memory; "UNKNOWN_STATUS" for a number this version does not know. */
CANYON_API const char *canyon_status_name(enum canyon_status status);

/* What the last failed call on this thread had to say; "" before the first. Valid until the next call on this thread.
 */
CANYON_API const char *canyon_error_text(void);

/* ---- Keys ------------------------------------------------------------------------------------------------------ */

/* A key is an identity: servers know their clients by it, and clients their servers. The secret half stays in a file on
 * its owner's machine; the public half is a text, "cnp1...", that is no secret: it goes into the lists of those who are
 * to trust its owner. Programs need none of these calls as a rule: `canyon keygen` makes keys, and a client reads its
 * key by itself. */

/* Writes the path of one of Canyon's own files, whether or not it is there: "key" (the client's key), "known_servers",
 * "server.key", "allow". The directory is CANYON_HOME of the environment, else canyon in XDG_CONFIG_HOME, else
 * .config/canyon in HOME. TOO_LARGE when it does not fit into `bytes`, CONFIGURATION when the environment has none of
 * the three. */
CANYON_API enum canyon_status canyon_home_file(const char *name, char *path, size_t bytes);

/* Makes a key from the system's randomness and writes its secret half to a new file (NULL: the default, "key" of
 * canyon_home_file) that only its owner can read, synced to disk; directories that are missing are made, open to their
 * owner alone. `text` receives the public key.
 * - CONFLICT: there is a file of that name; nothing is ever overwritten
 * - INVALID_ARGUMENT: it cannot be written there, the text has the system's reason; no file is left
 * - CONFIGURATION: no path was given and there is no default, see canyon_home_file */
CANYON_API enum canyon_status canyon_key_generate(const char *path, char text[CANYON_KEY_TEXT_BYTES]);

/* Reads a key's file (NULL: the default) and gives its public key. The secret half does not leave the library.
 * - NOT_FOUND: there is no such file
 * - INVALID_ARGUMENT: it is not a regular file, belongs to somebody else, others can use it, or it holds no secret key;
 *   the text says which and what to do */
CANYON_API enum canyon_status canyon_key_show(const char *path, char text[CANYON_KEY_TEXT_BYTES]);

/* ---- Connecting ------------------------------------------------------------------------------------------------ */

enum canyon_log_level { CANYON_LOG_DEBUG = 0, CANYON_LOG_INFO = 1, CANYON_LOG_WARNING = 2, CANYON_LOG_ERROR = 3 };

/* Receives "event key=value ..." lines without newline, borrowed for the call. It may be called from the library's own
 * threads, one call at a time per client, and must not call into the library. */
typedef void (*canyon_log_callback)(void *user, enum canyon_log_level level, const char *text);

/* Always begin with canyon_options_init; it sets `size`, so that a program built against an older header keeps working.
 */
struct canyon_options {
    size_t size;
    const char *servers;   /* "HOST:PORT[,HOST:PORT...]", IPv6 as "[::1]:7077": one is enough, others are tried in turn.
                              Copied. Required. */
    const char *job;       /* the job these servers must serve; NULL for any. Copied. */
    const char *name;      /* of this worker, for logs and tables; NULL for "worker". Copied. */
    uint32_t timeout_ms;   /* the default deadline of calls: 10,000 */
    uint32_t connect_ms;   /* of one attempt to reach one server: 3,000 */
    uint64_t window_bytes; /* most bytes sent and unanswered per connection; 0: 1.5 MiB to servers on this machine,
                              where more would only leave the processor's caches, and 8 MiB to others. Pulls that may
                              wait for other workers have as much for themselves, and those that do wait keep nothing
                              else back */
    canyon_log_callback log; /* NULL for none */
    void *log_user;
    enum canyon_log_level log_level; /* least level to report: CANYON_LOG_INFO */
    int partial; /* 1: connect although some of the servers cannot be reached, for looking at what is left; 0 */
    const char *key_file;           /* this client's secret key; NULL: canyon_home_file "key" */
    const char *known_servers_file; /* the servers' public keys; NULL: canyon_home_file "known_servers" */
    int insecure_plaintext; /* 1: no keys and no encryption, with servers on this machine that were told the same;
                               2: with servers anywhere; 0 */
    const char *congestion; /* TCP's congestion control towards the servers: NULL for "auto" (cubic, or else reno, on
                               loopback, the system's choice elsewhere), "system", or one of the kernel's names */
    uint32_t spin_us; /* how long a thread that waits for an answer looks for it before it sleeps; 0: not at all. An
                         answer comes sooner by the time of a waking, for a busy processor; at most 1,000,000 */
    uint32_t reconnect_ms;   /* how long calls wait for a server that was lost to come back, within their own deadlines:
                                10,000, at most 300,000; 0: not at all, they end with their connection */
    const char *consistency; /* NULL to take the job as it is; or the mode this program is made for: "async", "ssp:3",
                                "sync" (see below). A job that has none yet is set to it, where the role allows */
};

/* The defaults, in the first `size` bytes: as many as the header has that the program was built with. */
CANYON_API void canyon_options_init_sized(struct canyon_options *options, size_t size);

static inline void canyon_options_init(struct canyon_options *options) {
    canyon_options_init_sized(options, sizeof *options);
}

/* Connections are encrypted, and both ends prove who they are: the client by the secret key in key_file, which the
 * servers' allow-lists name with a role; the servers by the public keys that known_servers_file has for their addresses
 * (those given, and those they advertise). Both files are read once, by canyon_connect. A client never falls back to
 * plaintext, and never sends anything to a server that has not proven its key. */

/* Reaches one of the servers, learns the job and the shard map from it, and opens one connection to every thread of
 * every server. On success *client is owned by the caller: canyon_close it.
 * - UNAVAILABLE: no server answered in connect_ms each, the text has each one's reason; or, unless options.partial, one
 *   of the job's servers did not, the text names it
 * - CONFIGURATION: two servers were started with different jobs, shards, blocks or server lists, or options.job is
 *   another: the text names both and what differs
 * - UNSUPPORTED: the server speaks another protocol version, or the CPU cannot do the cipher it is known by
 * - UNAUTHENTICATED: this client has no key, or does not know the server's; the server did not prove the key it is
 * known by, or does not accept this client's: the text says which, and what to do
 * - INVALID_ARGUMENT: a file of keys that others could read or that makes no sense; plaintext to another machine;
 *   options.consistency is no mode
 * - MISMATCH: the job has another mode than options.consistency; or it has none, and this client's role may not set it
 * With options.partial one server that answers is enough. Calls that need one that was not reached answer UNAVAILABLE
 * and name it, for as long as this client lives; canyon_statistics shows it with reachable = 0; opening a tensor checks
 * only the servers that were reached. */
CANYON_API enum canyon_status canyon_connect(const struct canyon_options *options, canyon_client **client);

/* Ends every call under way with CANYON_CLOSED (their futures are done when this returns), tells the servers that
 * nothing more comes, for whose answers it waits a second at most, closes the connections and frees the client.
 * Afterwards all that may be done with its tensors is closing them, and with futures asking for their outcome and
 * releasing them. It may have to wait for a host name's lookup that has begun. Not from a future's callback, which it
 * would wait for. Safe on NULL. */
CANYON_API void canyon_close(canyon_client *client);

struct canyon_job {
    char name[CANYON_NAME_BYTES];
    uint32_t shards;         /* units of ownership, a power of two */
    uint32_t block_elements; /* consecutive elements that are placed, sent and updated together */
    uint32_t servers;
    uint32_t threads; /* of all servers that were reached: as many connections has this client */
};

/* What the servers said when this client connected. Never talks to a server. */
CANYON_API enum canyon_status canyon_job(canyon_client *client, struct canyon_job *job);

/* ---- Tensors --------------------------------------------------------------------------------------------------- */

/* How the first values of a tensor come to be. Random ones depend on (seed, tensor name, element index) only: not on
 * the number of servers, and not on who creates. fan_in and fan_out are PyTorch's for the same shape. */
enum canyon_initializer {
    CANYON_ZEROS = 0,
    CANYON_CONSTANT = 1, /* a: the value */
    CANYON_UNIFORM = 2,  /* from a up to, not including, b */
    CANYON_NORMAL = 3,   /* mean a, standard deviation b */
    CANYON_XAVIER = 4,   /* uniform in +-a*sqrt(6/(fan_in+fan_out)); a is the gain, usually 1 */
    CANYON_KAIMING = 5,  /* normal with deviation a/sqrt(fan_in); a is the gain, sqrt(2) for ReLU */
    CANYON_VALUES = 6    /* `values` below, all elements in row-major order */
};

struct canyon_setting {
    char name[32];
    double value;
};

/* What to create. Begin with canyon_tensor_spec_init: rank 0 (one element), optimizer "sgd" at its defaults, zeros. */
struct canyon_tensor_spec {
    size_t size;
    char name[CANYON_NAME_BYTES]; /* 1 to 127 of A-Z a-z 0-9 _ - . / and begins with a letter or digit */
    uint32_t rank;                /* 0 to 8; 0 is a single element */
    uint64_t dims[CANYON_MAX_RANK];
    char optimizer[32]; /* "sgd", "adam", ...: canyon_optimizer lists what the servers have */
    uint32_t setting_count;
    struct canyon_setting
        settings[CANYON_MAX_SETTINGS]; /* hyperparameters by PyTorch's names; those left out get defaults */
    enum canyon_initializer initializer;
    uint64_t seed;
    double a, b;
    const float *values; /* CANYON_VALUES: borrowed for the call */
};

/* The value of a setting as text: a word where its values are words ("cosine", of schedule), else the shortest number
 * that reads back the same. Writes at most `bytes` bytes with the NUL, returns `text`. Never talks to a server. */
CANYON_API char *canyon_setting_text(const struct canyon_setting *setting, char *text, size_t bytes);

CANYON_API void canyon_tensor_spec_init(struct canyon_tensor_spec *spec);

/* Reads "adam" or "adam:lr=0.01,beta1=0.8" into the spec's optimizer and settings. A learning-rate schedule is told by
 * settings too: "adam:lr=0.01,schedule=cosine,T_max=10000,warmup=500". There are (with PyTorch's names and definitions,
 * counted in updates of a block)
 *   schedule=step        step_size, gamma (0.1)
 *   schedule=multistep   milestone1 to milestone8, gamma (0.1)
 *   schedule=exponential gamma (0.1)
 *   schedule=cosine      T_max, eta_min (0)
 *   schedule=onecycle    total_steps, pct_start (0.3), div_factor (25), final_div_factor (1e4)
 *   schedule=polynomial  total_iters, power (1)
 *   schedule=inverse_sqrt timescale (0: the warm-up's length)
 * and with each of them, or without any, warmup, the updates in which the rate rises from warmup_start (1/3) times the
 * first rate to the first rate; the schedule begins after it. nonfinite
 * says what becomes of a gradient with NaN or infinity: refuse (the default: its block is refused), skip (those
 * elements stay as they are, the others are updated) or clip (infinity is taken for the largest float, NaN is skipped).
 * staleness and staleness_bound say what becomes of a gradient whose weights are old: see Consistency below.
 * INVALID_ARGUMENT when it is not of that form; whether the optimizer and its settings exist is the server's to say.
 * Never talks to a server. */
CANYON_API enum canyon_status canyon_tensor_spec_optimizer(struct canyon_tensor_spec *spec, const char *text);

/* Creates the tensor, or opens it when it exists with the same shape, optimizer and settings (those it was created with
 * or, when canyon_tensor_set changed them, those it has now). Of several workers that
 * race exactly one initialises it; the others wait and open what it made. On success *tensor is owned:
 * canyon_tensor_close it.
 * - MISMATCH: it exists otherwise; the text names both
 * - INVALID_ARGUMENT: unknown optimizer or setting, a setting out of its range, a bad name or shape
 * - STATE_LOST: it is complete but a server came back without its part; drop it, then create it anew
 * - NOT_FOUND, CONFLICT: somebody dropped it while it was being created; nothing of it is left
 * - TIMEOUT: whoever is creating it did not finish in time; the text names it */
CANYON_API enum canyon_status canyon_tensor_create(canyon_client *client, const struct canyon_tensor_spec *spec,
                                                   uint32_t timeout_ms, canyon_tensor **tensor);

/* Waits until a tensor of this name exists and is complete, and opens it.
 * - TIMEOUT: the text says which of the two was missing
 * - STATE_LOST: as for canyon_tensor_create */
CANYON_API enum canyon_status canyon_tensor_open(canyon_client *client, const char *name, uint32_t timeout_ms,
                                                 canyon_tensor **tensor);

/* Frees the handle, not the tensor. No call on it may be under way. Safe on NULL. */
CANYON_API void canyon_tensor_close(canyon_tensor *tensor);

/* How the values of this handle's pushes, pulls and steps travel from the next call on; at first as float32. It is this
 * handle's choice alone: other workers have their own, and weights and optimizer state at the servers stay float32.
 * NULL means "f32". Of gradients there are
 *   "f32"              4 bytes a value, exact
 *   "bf16", "f16"      2 bytes: rounded to nearest, ties to even. What is beyond the largest number of the form becomes
 *                      that number (of f16: 65504); infinity and NaN stay what they are
 *   "int8"             1.0625 bytes: groups of 64 values, a scale of their largest size / 127, rounded to nearest
 *   "int8:stochastic"  the same, rounded up or down at random, so that the error is zero in the mean
 *   "topk:FRACTION"    8 bytes for each value that is sent: of each block the largest ones, exactly; "topk:0.01" sends
 *                      one in a hundred, and of blocks above 131,072 elements at most half of them, which fit a frame
 * and of weights all but topk. canyon_assign and optimizer state always travel as float32.
 *
 * ERROR FEEDBACK. With topk the client keeps what was not sent, in a residual of the tensor's size with this handle,
 * and adds it to the next gradient; "bf16:feedback", "f16:feedback", "int8:feedback" and "int8:stochastic,feedback" do
 * the same with what rounding lost. The residual changes once for every block of a push: when the block is encoded,
 * as it is the next to be sent. From its first byte on what was encoded is on its own. So of blocks that are refused,
 * or whose outcome is not known, at most what was sent is lost, as without a codec, and the rest is in the residual: do
 * not push the same gradient again, that would count twice. What is never sent, because the deadline passed before its
 * turn came, leaves the residual as it was, but for rounding. Elements that are NaN or infinite leave the residual as
 * it was too; they are sent as far as the form has them (int8: both as NaN; topk: of the largest ones, which they are),
 * for the server to judge. The residual goes with the handle, or when a codec without feedback is chosen.
 *
 * May be called from any thread at any time; calls that have begun go on with the codecs they began with, and without
 * what the residual held if it is gone by then.
 * - INVALID_ARGUMENT: no such codec; the text lists those there are. Nothing has changed
 * - NO_MEMORY: for the residual. Nothing has changed */
CANYON_API enum canyon_status canyon_tensor_set_codec(canyon_tensor *tensor, const char *gradient, const char *weights);

/* Whether there are such codecs: OK or INVALID_ARGUMENT, as canyon_tensor_set_codec would answer. Never talks to a
 * server. */
CANYON_API enum canyon_status canyon_codec_check(const char *gradient, const char *weights);

enum canyon_kind { CANYON_TENSOR = 0, CANYON_TABLE = 1 };

/* Of a tensor, or of a table, whose shape is [dim], and its elements and initializer those of one row. */
struct canyon_tensor_info {
    char name[CANYON_NAME_BYTES];
    uint32_t rank;
    uint64_t dims[CANYON_MAX_RANK];
    uint64_t elements;
    uint64_t blocks;
    char optimizer[32];
    uint32_t setting_count;
    struct canyon_setting settings[CANYON_MAX_SETTINGS]; /* all of them, defaults filled in */
    enum canyon_initializer initializer;
    uint64_t seed;
    double a, b;
    int complete;   /* 0 while it is being created or dropped */
    uint64_t epoch; /* how often its settings were changed */
    enum canyon_kind kind;
    uint64_t row_cap, capacity; /* of a table; 0: no cap, not known */
};

/* What this handle was opened with. Never talks to a server. */
CANYON_API enum canyon_status canyon_tensor_describe(const canyon_tensor *tensor, struct canyon_tensor_info *info);

/* All tensors and tables of the job in byte order of their names. *infos is an array of *count, owned: free it with
 * canyon_free.
 */
CANYON_API enum canyon_status canyon_tensor_list(canyon_client *client, uint32_t timeout_ms,
                                                 struct canyon_tensor_info **infos, size_t *count);

/* Changes settings of a tensor's or table's optimizer while training runs: "lr=0.01" or "lr=0.01,beta1=0.8"; those not
 * named stay as they are. Each block is updated with the old settings up to one point of its shard's order, and with
 * the new ones from there on; on return every block has passed that point. Of several that set at once, the one that
 * the server of the catalogue ordered last wins everywhere. Settings that matter only when a tensor is made (the first
 * value of a slot) change nothing any more. *info, unless NULL, receives the tensor as it is then.
 * - INVALID_ARGUMENT: no such setting, or a value out of its range: the text names both; nothing has changed
 * - NOT_FOUND, CONFLICT: there is no such tensor, or it is being created or dropped
 * - UNAVAILABLE, TIMEOUT, OUTCOME_UNKNOWN: some of the servers may have the new settings and others not. Nothing is
 *   lost: setting the same again finishes it, and so does whoever opens the tensor next. */
CANYON_API enum canyon_status canyon_tensor_set(canyon_client *client, const char *name, const char *settings,
                                                uint32_t timeout_ms, struct canyon_tensor_info *info);

/* Drops a tensor or table everywhere. Handles to it answer NOT_FOUND from then on. Also finishes a drop that was
 * interrupted. */
CANYON_API enum canyon_status canyon_tensor_drop(canyon_client *client, const char *name, uint32_t timeout_ms);

/* ---- Values ---------------------------------------------------------------------------------------------------- */

/* All of a tensor's elements travel, row-major. A push applies the tensor's optimizer once to every block, atomically
 * per block; there is no atomicity across blocks. On return from push_pull, `weights` are those this push made, or
 * later ones. */

/* Replaces the weights; optimizer state stays. NOT_FINITE when values hold NaN or infinity. */
CANYON_API enum canyon_status canyon_assign(canyon_tensor *tensor, const float *values, uint32_t timeout_ms);

CANYON_API enum canyon_status canyon_pull(canyon_tensor *tensor, float *weights, uint32_t timeout_ms);

/* Staleness is measured against the weights this handle received last (by pull, push_pull or assign); before the first,
 * against the tensor's first values. */
CANYON_API enum canyon_status canyon_push(canyon_tensor *tensor, const float *gradient, uint32_t timeout_ms);

/* Gradient in, fresh weights out, in one round trip. `gradient` and `weights` may be the same memory: then the gradient
 * is lost block by block as the weights arrive, and whatever was refused holds neither. */
CANYON_API enum canyon_status canyon_push_pull(canyon_tensor *tensor, const float *gradient, float *weights,
                                               uint32_t timeout_ms);

/* One tensor of a step. gradient only: push. weights only: pull. Both: push_pull. */
struct canyon_item {
    canyon_tensor *tensor;
    const float *gradient; /* borrowed until the step is done, or NULL */
    float *weights;        /* borrowed until the step is done, or NULL */
    /* Filled in when the step is done: */
    uint64_t version;       /* the lowest version among the blocks, after */
    uint64_t staleness;     /* the largest among the blocks pushed */
    uint64_t refused;       /* blocks refused */
    uint64_t refused_block; /* the first of them */
};

/* A model's step: all items at once, blocks of all tensors to all servers in parallel, small tensors of one connection
 * sharing frames. `items` is borrowed until the call returns (until the future is done). Blocks that a server refused
 * are counted in their item; then the result is CANYON_REFUSED (or NOT_FINITE, DENIED, NOT_FOUND, STATE_LOST, STALE,
 * LATE, CONFLICT, BUSY when that is why: see Consistency below for the last four). */
CANYON_API enum canyon_status canyon_step(canyon_client *client, struct canyon_item *items, size_t count,
                                          uint32_t timeout_ms);

/* The same without waiting. On CANYON_OK *future is owned: canyon_future_release it. Otherwise nothing was begun. */
CANYON_API enum canyon_status canyon_step_async(canyon_client *client, struct canyon_item *items, size_t count,
                                                uint32_t timeout_ms, canyon_future **future);

/* What a step does with its gradients before a byte is sent. All of it looks at the step's gradients together, before
 * they are cut into blocks. Begin with canyon_step_options_init: then nothing is done. */
struct canyon_step_options {
    size_t size;
    /* Above 0: the Euclidean norm of all the step's gradients together is at most this, as with PyTorch's
     * clip_grad_norm_: when it is larger, every element g of them is sent as g * (clip_norm / norm). Norm, quotient and
     * product are computed in double and the product is rounded to float once, so the norm of what is sent can exceed
     * clip_norm by the rounding of its elements, a part in 10^7. (PyTorch divides by norm + 1e-6.) The caller's
     * gradients are only read: what is sent is a copy, whose memory (up to 1 GiB) the client keeps for the next one. A
     * norm of gradients with NaN or infinity does not exist, so those are refused as check_finite does. INFINITY
     * measures and never clips; 0 does neither. Of gradients of a loss that was multiplied by loss_scale, clip_norm and
     * norm are multiples by loss_scale too. */
    double clip_norm;
    /* 1: the step is refused with CANYON_NOT_FINITE when a gradient holds NaN or infinity; the text names the first
     * such element and its tensor, and no server hears of the step. 0, the default: each server judges its own blocks
     * as the tensor's `nonfinite` says, so that by default the other blocks are updated. One pass over the gradients,
     * the same that takes the norm. */
    int check_finite;
    /* Filled in when the call returns, also by the asynchronous one: */
    double norm; /* of the gradients as they were given, when clip_norm or check_finite asked for a look; else 0 */
    int clipped; /* 1: they were too long, and what was sent is shorter */
};

static inline void canyon_step_options_init(struct canyon_step_options *options) {
    options->size = sizeof *options;
    options->clip_norm = 0;
    options->check_finite = 0;
    options->norm = 0;
    options->clipped = 0;
}

/* canyon_step and canyon_step_async with options, which are borrowed for the call itself; NULL for none. A single
 * tensor's push is a step of one item.
 * - NOT_FINITE, and options.norm is not finite either: nothing was sent
 * - INVALID_ARGUMENT: clip_norm is negative or NaN, or the options were not initialised; nothing was sent */
CANYON_API enum canyon_status canyon_step_with(canyon_client *client, struct canyon_item *items, size_t count,
                                               struct canyon_step_options *options, uint32_t timeout_ms);
CANYON_API enum canyon_status canyon_step_with_async(canyon_client *client, struct canyon_item *items, size_t count,
                                                     struct canyon_step_options *options, uint32_t timeout_ms,
                                                     canyon_future **future);

/* Of this client, since it was connected: steps with options that asked for a look at the gradients; those whose
 * gradients were clipped to clip_norm; and those that were refused for NaN or infinity, of which nothing was sent; and
 * what codecs did. Never talks to a server. canyon_statistics has what servers refused, skipped and clipped. */
struct canyon_client_counters {
    uint64_t checked, clipped, not_finite;
    /* Of steps, pushes, pulls and assigns that were answered: bytes of values sent and received, as they travelled, and
     * what they would have been as float32. The differences are what codecs saved. */
    uint64_t sent, sent_single, received, received_single;
    /* Connections made in place of lost ones; requests that were sent again over them; and parts of those (a tensor's
     * blocks, a table's shards) that the server had taken already: it did not apply them twice. */
    uint64_t reconnects, resent, duplicates;
};
CANYON_API enum canyon_status canyon_client_counters(canyon_client *client, struct canyon_client_counters *counters);

/* ---- Optimizer state ------------------------------------------------------------------------------------------- */

/* What the optimizer keeps beside the weights can be pulled and assigned, so that a run can be looked into, saved, and
 * moved in from elsewhere. It has names, and is of two kinds:
 * - slots, float32 arrays of the weights' shape: adam has "exp_avg" and "exp_avg_sq" (PyTorch's names),
 * - numbers, one for each block: every tensor has "step", how many updates the block has had, by which learning-rate
 *   schedules go too; nadam also has "mu_product".
 * Weights, slots and numbers, assigned to a tensor made with the same optimizer and settings, continue a run to the bit
 * on any number of servers and threads. (In a job with another block size there are as many numbers as it has blocks:
 * where all were equal, assign that one.)
 *
 * From PyTorch: create the tensor with the same settings, canyon_assign the parameter, canyon_assign_slot what is of
 * its shape in the optimizer's state, and canyon_assign_number(tensor, "step", step, 0). SGD's state has no step; what
 * it is here matters to momentum's dampening, which spares the first update, and to schedules.
 *
 * Blocks are read and written one by one while others may push: for the state of one moment let no worker push. Each
 * call asks a server for the optimizer's slots first; an unknown name is NOT_FOUND, and the text lists those there are.
 * A block is refused (REFUSED, NOT_FINITE; the others are done) for NaN and infinity, for a value below zero in a slot
 * that never has one, such as an average of squares, and for a number outside its range. Assigning state does not make
 * anybody's weights stale. */

struct canyon_slot {
    char name[32];
    int per_block;  /* 0: a float32 array of the tensor's shape; 1: one number for each block */
    uint64_t count; /* of its values: the tensor's elements, or its blocks */
};

/* What a tensor's optimizer keeps: slots in its order, then "step", then its other numbers. *slots is an array of
 * *count, owned: free it with canyon_free. */
CANYON_API enum canyon_status canyon_tensor_slots(canyon_tensor *tensor, uint32_t timeout_ms,
                                                  struct canyon_slot **slots, size_t *count);

/* All of a slot's values, as many as the tensor has elements, row-major. */
CANYON_API enum canyon_status canyon_pull_slot(canyon_tensor *tensor, const char *slot, float *values,
                                               uint32_t timeout_ms);
CANYON_API enum canyon_status canyon_assign_slot(canyon_tensor *tensor, const char *slot, const float *values,
                                                 uint32_t timeout_ms);

/* "step" or another number: one for each block, in the order of the blocks. A step is whole and at most 1e15:
 * INVALID_ARGUMENT otherwise, and nothing is changed. */
CANYON_API enum canyon_status canyon_pull_numbers(canyon_tensor *tensor, const char *name, double *numbers,
                                                  uint32_t timeout_ms);
CANYON_API enum canyon_status canyon_assign_numbers(canyon_tensor *tensor, const char *name, const double *numbers,
                                                    uint32_t timeout_ms);

/* The same number for every block: canyon_assign_number(tensor, "step", 1000, 0). */
CANYON_API enum canyon_status canyon_assign_number(canyon_tensor *tensor, const char *name, double number,
                                                   uint32_t timeout_ms);

/* ---- Tables ---------------------------------------------------------------------------------------------------- */

/* A table is a sparse parameter, such as an embedding: rows of `dim` float32, each under a 64-bit id, of which a step
 * touches a few. Ids are any numbers: positions in a vocabulary, or hashes of features. A row comes to be when it is
 * first pushed to (or pulled with `create`). Its first weights depend on the table's seed and name and on its id alone,
 * so it makes no difference when that is, who does it, and over how many servers the rows are spread.
 *
 * A push is lazy: it updates the rows it names, and no other. A row that is not pushed to stands still, its optimizer's
 * averages and weight decay too (PyTorch: SparseAdam, and Adagrad and SGD of sparse gradients). What a tensor's
 * optimizer takes from the count of its updates, as Adam's bias correction, a row's takes from the row's own count
 * (with the setting steps=shard, from the pushes that came to the row's shard). A learning-rate schedule goes by the
 * clock, below. All optimizers are for rows; those that canyon_optimizers calls rows_only keep one number a row.
 *
 * Names are shared with tensors: canyon_tensor_list, _set and _drop are for both. */

/* What to create. Begin with canyon_table_spec_init: optimizer "sgd" at its defaults, zeros, no cap. */
struct canyon_table_spec {
    size_t size;
    char name[CANYON_NAME_BYTES]; /* as a tensor's */
    uint32_t dim;                 /* elements of a row, 1 to CANYON_MAX_DIM */
    char optimizer[32];
    uint32_t setting_count;
    struct canyon_setting settings[CANYON_MAX_SETTINGS];
    enum canyon_initializer initializer; /* of each row; not CANYON_VALUES. fan_in and fan_out are dim */
    uint64_t seed;
    double a, b;
    uint64_t capacity; /* rows that are expected in all: memory for their index is taken at once, and growing costs
                          nothing up to there. 0: not known */
    uint64_t row_cap;  /* the most rows in all: each shard has at most row_cap / shards of them, rounded up. 0: as many
                          as  the servers' memory takes */
};

CANYON_API void canyon_table_spec_init(struct canyon_table_spec *spec);

/* Reads "adam:lr=0.01", as canyon_tensor_spec_optimizer does. Tables have one more setting: steps=row (the default) or
 * steps=shard, see above. */
CANYON_API enum canyon_status canyon_table_spec_optimizer(struct canyon_table_spec *spec, const char *text);

/* Creates the table, or opens it when it exists with the same dim, optimizer, settings and row cap. Its capacity, which
 * is a hint, and its initializer stay as whoever created it gave them. On success *table is owned: canyon_table_close
 * it. Outcomes as of canyon_tensor_create; MISMATCH also when there is a tensor of that name. */
CANYON_API enum canyon_status canyon_table_create(canyon_client *client, const struct canyon_table_spec *spec,
                                                  uint32_t timeout_ms, canyon_table **table);

/* Waits until a table of this name exists and is complete, and opens it. Outcomes as of canyon_tensor_open; MISMATCH
 * when it is a tensor. */
CANYON_API enum canyon_status canyon_table_open(canyon_client *client, const char *name, uint32_t timeout_ms,
                                                canyon_table **table);

/* Frees the handle, not the table. No call on it may be under way, no cursor open. Safe on NULL. */
CANYON_API void canyon_table_close(canyon_table *table);

/* What this handle was opened with. Never talks to a server. */
CANYON_API enum canyon_status canyon_table_describe(const canyon_table *table, struct canyon_tensor_info *info);

/* How the values of this handle's batches travel, as canyon_tensor_set_codec has it, row by row: each row has its own
 * scales, so what a row becomes does not depend on the batch it is in. All codecs but topk, and without feedback, which
 * would need a residual for every row there is. */
CANYON_API enum canyon_status canyon_table_set_codec(canyon_table *table, const char *gradients, const char *weights);

/* A batch of ids: gradients only: push. weights only: pull. Both: push_pull. Begin with canyon_batch_init.
 *
 * DUPLICATES. An id may come any number of times. It is one row, updated once: the library adds its gradients in the
 * order in which they come, in float32, before anything is sent. Weights are given back in the order of the ids, the
 * same ones wherever an id stands.
 *
 * A pull leaves the table as it is: a row that is not there is answered with the weights it would begin with. With
 * `create` it comes to be, and keeps the clock like a row that was pushed to.
 *
 * REFUSALS. A server carries out the rows of a batch that are in one shard together, or refuses them together before
 * any has changed. (A batch that has more than a frame's worth of one shard, about 256 KiB, is several such lots.) The
 * other shards' rows are done. Rows that were refused keep their place in `weights` untouched. Why: NaN or infinity in
 * a sum of gradients (NOT_FINITE; the text names rows that have it), the row cap (TOO_LARGE) or the servers' memory
 * limit (NO_MEMORY) would be passed by the new rows, or they crowd one place of a server's index (BUSY), which takes
 * ids chosen by somebody who knows its secret. */
#define CANYON_BATCH_REFUSED 8
struct canyon_batch {
    size_t size;
    const uint64_t *ids;    /* `count` of them, borrowed for the call itself; in any order; NULL when there are none */
    size_t count;           /* up to CANYON_MAX_BATCH; 0 does nothing and is fine */
    const float *gradients; /* count x dim, row after row in the order of the ids; borrowed until it is done; or NULL */
    float *weights;         /* likewise; may be the same memory as gradients; or NULL */
    size_t values;          /* how many floats gradients and weights have, each: checked against count x dim of the
                               table. 0: not told */
    uint64_t clock; /* this worker's step, for schedules and for what rows note of when they were touched last; 0: that
                       of canyon_clock, or, where it was never called, as many batches as this handle has pushed, this
                       one counted. In a synchronous job the clock that gradients are for */
    int create;     /* 1: a pull makes the rows that are not there */
    /* Filled in when it is done: */
    uint64_t rows;      /* different ids */
    uint64_t created;   /* rows that came to be */
    uint64_t staleness; /* the largest of a shard's: pushes to the table there since this handle last received rows */
    uint64_t refused;   /* rows refused */
    uint64_t refused_ids[CANYON_BATCH_REFUSED]; /* some of them, as many as there is room for */
};

CANYON_API void canyon_batch_init(struct canyon_batch *batch);

/* Sends the batch to all servers that have rows of it, in parallel, and waits. `batch` is borrowed until then.
 * - INVALID_ARGUMENT: `values` is not count x dim (the text has the table's dim); neither gradients nor weights;
 *   `create` with gradients
 * - TOO_LARGE: more than CANYON_MAX_BATCH ids. Nothing was sent
 * - NOT_FINITE, TOO_LARGE, NO_MEMORY, BUSY, DENIED, REFUSED: rows were refused for that reason, batch.refused says how
 *   many
 * - LATE, STALE, CONFLICT: likewise; see canyon_clock
 * - NOT_FOUND, STATE_LOST: as for tensors */
CANYON_API enum canyon_status canyon_table_step(canyon_table *table, struct canyon_batch *batch, uint32_t timeout_ms);

/* The same without waiting: several batches may be under way at once, and those of one handle are carried out in the
 * order in which they were begun, as far as they touch the same rows. But a pull that waits for other workers (see
 * Consistency below) may find what was pushed after it was begun; so may a pull that was begun while others were
 * waiting and has not been sent, because they leave it no room in the window, or are 1,024 on a connection. `batch` is
 * borrowed until the future is done, the ids only for the call. On CANYON_OK *future is owned: canyon_future_release
 * it. Otherwise nothing was begun. */
CANYON_API enum canyon_status canyon_table_step_async(canyon_table *table, struct canyon_batch *batch,
                                                      uint32_t timeout_ms, canyon_future **future);

/* The same, for those who need none of the rest. */
CANYON_API enum canyon_status canyon_table_push(canyon_table *table, const uint64_t *ids, size_t count,
                                                const float *gradients, uint32_t timeout_ms);
CANYON_API enum canyon_status canyon_table_pull(canyon_table *table, const uint64_t *ids, size_t count, float *weights,
                                                uint32_t timeout_ms);
CANYON_API enum canyon_status canyon_table_push_pull(canyon_table *table, const uint64_t *ids, size_t count,
                                                     const float *gradients, float *weights, uint32_t timeout_ms);

/* Removes rows, weights and optimizer state; an id that has none is fine. One that comes again begins anew. *erased,
 * unless NULL, receives how many there were. It takes the role admin. */
CANYON_API enum canyon_status canyon_table_erase(canyon_table *table, const uint64_t *ids, size_t count,
                                                 uint32_t timeout_ms, uint64_t *erased);

struct canyon_table_totals {
    uint64_t rows;
    uint64_t bytes;   /* taken by the servers for them: weights, optimizer state, index */
    uint64_t version; /* pushes, counted in every shard that they came to */
    uint64_t clock;   /* the largest of a push */
};

/* Of all servers, added up one after another: of one moment while nobody pushes. */
CANYON_API enum canyon_status canyon_table_totals(canyon_table *table, uint32_t timeout_ms,
                                                  struct canyon_table_totals *totals);

/* A hash over all rows: their ids, weights, optimizer state, counts and clocks. Equal digests, equal rows to the last
 * bit, whatever the number of servers, threads and shards. It reads all of them at the servers. */
CANYON_API enum canyon_status canyon_table_digest(canyon_table *table, uint32_t timeout_ms,
                                                  uint8_t digest[CANYON_DIGEST_BYTES]);

/* The `room` rows of the lowest ids from `from` on, in order of their ids; *count says how many there are. `ids` has
 * room for `room` ids, `weights` for as many rows, or is NULL. Asks every shard, each of which walks through its index
 * of the table: for a look, not for reading all.
 * TOO_LARGE for a room above 65,536. */
CANYON_API enum canyon_status canyon_table_rows(canyon_table *table, uint64_t from, size_t room, uint32_t timeout_ms,
                                                uint64_t *ids, float *weights, size_t *count);

/* A cursor reads all rows, page by page: shard after shard, in each in order of ids. Rows that come or go meanwhile may
 * or may not be met, and each page is of its own moment; no row is met twice. Each page costs the server one walk
 * through its index of the table in that shard, so pages are as large as a frame takes. */
struct canyon_page {
    size_t count;        /* rows; 0: that was all */
    const uint64_t *ids; /* borrowed, like all below, until the next call on the cursor */
    const float *values; /* row i's begin at i * stride: its dim weights, then, with state, each of the optimizer's
                            slots (dim values, or one where the optimizer is rows_only) */
    size_t stride;
    const uint32_t *counts; /* with state, else NULL: of each row its updates, and the clock that touched it last; both
                               stay at 2^32 - 1 once they are there */
    const double *scalars;  /* with state, else NULL: of each row the optimizer's scalars */
    size_t scalar_count;    /* of a row */
};

/* `state` 1: with what the optimizer keeps. *cursor is owned: canyon_cursor_close it. Talks to no server yet. */
CANYON_API enum canyon_status canyon_table_cursor(canyon_table *table, int state, canyon_cursor **cursor);

/* The next page. After an error the same page can be asked for again. */
CANYON_API enum canyon_status canyon_cursor_next(canyon_cursor *cursor, uint32_t timeout_ms, struct canyon_page *page);

/* Safe on NULL. */
CANYON_API void canyon_cursor_close(canyon_cursor *cursor);

/* ---- Futures --------------------------------------------------------------------------------------------------- */

/* Waits until it is done and returns its outcome; CANYON_BUSY when wait_ms passed first and it is still under way (its
 * own deadline ends it in any case). The calling thread drives the network meanwhile. UINT32_MAX: until it is done. */
CANYON_API enum canyon_status canyon_future_wait(canyon_future *future, uint32_t wait_ms);

/* 1 when it is done, 0 when not. Never blocks. */
CANYON_API int canyon_future_done(canyon_future *future);

/* `text` explains a failure, "" on success; borrowed for the call. */
typedef void (*canyon_future_callback)(void *user, enum canyon_status status, const char *text);

/* Calls back exactly once: at once on this thread when it is done already, else on whichever thread finishes it. The
 * callback may start asynchronous calls and must not make blocking ones. One callback a future: CONFLICT for a second.
 */
CANYON_API enum canyon_status canyon_future_then(canyon_future *future, canyon_future_callback callback, void *user);

/* Frees it; when it is still under way, as soon as it is done. Safe on NULL. */
CANYON_API void canyon_future_release(canyon_future *future);

/* ---- Workers --------------------------------------------------------------------------------------------------- */

/* Enters this client among the job's workers. *rank is the lowest number no present worker has; *count how many there
 * are now. It leaves when the client is closed or its process ends. Repeated, it answers the same rank and the new
 * count. */
CANYON_API enum canyon_status canyon_join(canyon_client *client, uint32_t timeout_ms, uint32_t *rank, uint32_t *count);

/* Returns when `count` clients have called it with this name (0: as many as have joined). A call that times out is
 * taken out of the count. The name is free for the next round as soon as the barrier opens. */
CANYON_API enum canyon_status canyon_barrier(canyon_client *client, const char *name, uint32_t count,
                                             uint32_t timeout_ms);

/* ---- Consistency ------------------------------------------------------------------------------------------------ */

/* How the workers of a job keep together, from "not at all" to "step by step". A worker counts its steps with
 * canyon_clock; the job has a mode:
 *
 *   "async"   nobody waits (the default, and all there is for a program that never calls canyon_clock)
 *   "ssp:S"   bounded staleness: a pull at clock c waits until every live worker is at clock c - S or beyond
 *   "sync"    synchronous: gradients of a clock are kept until all live workers have passed it, and then applied once,
 *             as their mean; a pull at clock c waits until clock c - 1 was applied. "sync:sum" applies their sum;
 *             "sync:rank" adds them up in the order of ranks, whoever comes first, so that where the sums are exact the
 *             result is, bit for bit, that of one worker with all the data; "sync:minimum=N" applies as soon as N
 *             workers have passed, and later gradients of that clock are LATE. Words go together: "sync:sum,rank".
 *
 * A training loop is: canyon_clock; pull; compute; push; and again. push_pull never waits: its weights are those of
 * now, and in a synchronous job without this clock's gradients. Nor do a pull that makes rows, canyon_assign, which
 * takes effect at once in every mode, and a client that counts no clocks: it may look at everything, and its pushes
 * to a synchronous job are CANYON_CONFLICT.
 *
 * What a mean is divided by: the workers whose gradients came for that block. A worker that dies is waited for until
 * its lease ends (10 s unless the servers say otherwise; it runs anew with all that the worker sends, and this library
 * sends a sign of life every third of it). What such a worker pushed whole before it died stays and counts. One that
 * comes back goes on at the lowest clock of the others (where nobody lives, the highest that anybody reached), as one
 * that comes late begins there; in a synchronous job one clock later where it gets the rank of one that died, whose
 * gradients of the open clock count.
 *
 * A pull that waits ends at the call's deadline with CANYON_TIMEOUT, and the text names who it waited for. One that
 * comes to the server late, because others that wait leave it no room in the window, says so instead, and whom one of
 * those waited for last, when a server has said it. Of a step that pushes other tensors, TIMEOUT (or UNAVAILABLE) then
 * says that all of those were answered, as their items tell: do not push them again. A gradient of a clock that is
 * closed is CANYON_LATE, and the next canyon_clock goes on at the one that is open; one of a clock that is not open
 * yet, as of a worker that does not pull, is CANYON_BUSY. Neither counts, nor is it applied later.
 *
 * All this holds for rows of tables, each by itself: a row's mean is divided by the workers whose gradients came for
 * that row, and in each shard a clock counts as one push. Rows that are not there are made when gradients come for
 * them, so caps and limits refuse then, not when the clock is over; erasing a row takes along what was kept for it.
 *
 * HOW STALE. A push names the version that its weights had; how many others came between is its staleness. What is done
 * about it is a setting of a tensor or table: staleness=accept (the default), staleness=scale (the learning rate of
 * that update is divided by 1 + staleness), or staleness=refuse with staleness_bound=N (CANYON_STALE: pull, compute and
 * push again; nothing has changed). Contributions to a synchronous clock are never scaled. */

/* The first call enters this client among the workers that count, and blocks until all servers know it; *clock, unless
 * NULL, receives where it begins: the lowest clock of the others, or 1 (see above). Each later call says that a step is
 * done, and gives the next clock, without waiting: unless 64 of them are told and not answered, when it waits for its
 * own answer, at most the client's default deadline. Pulls and pushes belong to the clock at the time of their call.
 * canyon_close takes the client out again. From a future's callback, which must not wait, the first call is
 * CANYON_CONFLICT, and one beyond 64 is CANYON_BUSY; the clock stays then. */
CANYON_API enum canyon_status canyon_clock(canyon_client *client, uint64_t *clock);

/* The rank that canyon_join or canyon_clock gave; NOT_FOUND before. Who joined first keeps that rank where it is free.
 * Never talks to a server. */
CANYON_API enum canyon_status canyon_rank(canyon_client *client, uint32_t *rank);

struct canyon_consistency {
    int set;                      /* 0: nobody set it, it is "async" */
    char mode[CANYON_MODE_BYTES]; /* as it is now */
    char next[CANYON_MODE_BYTES]; /* as it will be from clock `from` on, "" when no change is ahead */
    uint64_t from;                /* the first clock of the mode that was set last; 0: none was */
    uint64_t highest;             /* clock that any worker has reached */
    uint64_t open;                /* the synchronous clock that is open, 0 for none; of several threads the lowest */
    uint32_t workers;             /* live ones that count clocks */
    uint32_t lease_ms;
};
/* MISMATCH where the servers' threads do not agree: while a mode is being set, where it could not be everywhere, or
 * where a server was started anew and knows none. The text names two of them and what they have. Set again, the mode
 * is everywhere, from the clock that it had, or where workers are beyond that, from the one that is named, or a later
 * one. */
CANYON_API enum canyon_status canyon_consistency_get(canyon_client *client, uint32_t timeout_ms,
                                                     struct canyon_consistency *consistency);

/* Sets the mode from a clock on, which no worker may have reached (CONFLICT says how far they are); 0: the next that
 * nobody has. CONFLICT too while a synchronous clock is open of the mode before the one that goes on, and BUSY where a
 * server was restarted with its state less than a lease ago. Repeated, it
 * changes nothing; a change that is still ahead is replaced. It takes the role admin. */
CANYON_API enum canyon_status canyon_consistency_set(canyon_client *client, const char *mode, uint64_t from,
                                                     uint32_t timeout_ms);

/* A worker that counts clocks, as the servers' threads know it together. */
struct canyon_worker {
    char name[CANYON_NAME_BYTES]; /* options.name of it */
    uint32_t rank;
    int live;                              /* its lease runs; else it left, or was not heard of */
    uint64_t clock;                        /* where it is, as the thread knows it that has heard least */
    uint64_t lag;                          /* clocks behind the furthest live one */
    double rate;                           /* clocks a second, of the last few; 0: not known yet */
    uint64_t pushes;                       /* blocks and lots of rows; */
    uint64_t staleness_sum, staleness_max; /* of them */
    uint64_t seen_ms;                      /* since it was heard of last */
    uint32_t lease_ms;                     /* until it is not waited for any more */
    uint64_t tag;                          /* for canyon_staleness_of */
};

/* Live ones first, by rank. *workers is owned: canyon_free. */
CANYON_API enum canyon_status canyon_worker_list(canyon_client *client, uint32_t timeout_ms,
                                                 struct canyon_worker **workers, size_t *count);

/* How stale pushes were. counts[0] are those that were not, counts[b] those of 2^(b-1) to 2^b - 1, the last one all
 * above. */
struct canyon_staleness {
    uint64_t pushes, sum, max;
    uint64_t counts[CANYON_STALENESS_BUCKETS];
};

/* Of all pushes to a tensor or table; or, when `name` is NULL, of the worker with this tag. Since the servers started.
 */
CANYON_API enum canyon_status canyon_staleness_of(canyon_client *client, const char *name, uint64_t tag,
                                                  uint32_t timeout_ms, struct canyon_staleness *staleness);

/* ---- Seeing ---------------------------------------------------------------------------------------------------- */

/* One server, its threads added up. */
struct canyon_server_statistics {
    char address[272]; /* advertised */
    int reachable;     /* 0: `text` says why, the numbers are 0 */
    char text[320];
    char version[128];
    uint32_t threads; /* 0 when it was not reached yet */
    uint64_t uptime_ms, connections, frames, bytes_in, bytes_out;
    uint64_t pushes, pulls, assigns; /* blocks */
    uint64_t refused, errors;
    uint64_t shards;
    uint64_t
        parts; /* of tensors: every thread that holds blocks of a tensor has one; canyon_tensor_list counts tensors */
    uint64_t parameters, state_bytes;
    uint64_t staleness_sum, staleness_max; /* of these pushes of blocks; of rows: canyon_staleness_of */
    uint64_t not_finite;                   /* blocks of pushes and assigns refused for NaN or infinity */
    uint64_t kept, skipped, clipped; /* elements of the tensors there now: kept their old values because the new ones
                                        were not finite; skipped, and clipped, as nonfinite=skip and =clip say */
    uint64_t
        turned_away;  /* connections that ended before they were greeted: unknown keys, garbage, silence, no place */
    uint64_t aborted; /* encrypted ones that ended without their client having said that it was all */
    /* Bytes of gradients, weights and optimizer state of tensors, and of gradients and weights of rows, received and
     * sent, as they travelled, and what they would have been as float32: the differences are what codecs saved. */
    uint64_t values_in, values_in_single, values_out, values_out_single;
    uint64_t tables, rows;                        /* parts of tables (they count among `parts`), and their rows */
    uint64_t rows_pushed, rows_pulled, rows_made; /* since it started */
    int encrypted;       /* 0: this client speaks to it in PLAINTEXT, as it was told to, and the next two are "" */
    char cipher[24];     /* "chacha20poly1305" or "aes256gcm" */
    char key[24];        /* the beginning of the public key that it proves: "cnp1abcdefghijkl" */
    uint64_t duplicates; /* blocks and runs of rows that had come before, and were not applied again */
    uint64_t gaps;       /* connections ended because something before what came was missing */
    uint64_t sessions;   /* clients known, connected or not, by the thread that knows most */
};

/* Of every server of the job, in their order; one that is down is an entry, not an error. *servers is owned:
 * canyon_free. */
CANYON_API enum canyon_status canyon_statistics(canyon_client *client, uint32_t timeout_ms,
                                                struct canyon_server_statistics **servers, size_t *count);

/* A hash over the whole state of every shard, in shard order: equal digests, equal state to the last bit. It depends on
 * the job's shards and blocks, not on how many servers and threads hold them. Meaningful while nobody pushes. */
CANYON_API enum canyon_status canyon_shard_digest(canyon_client *client, uint32_t timeout_ms,
                                                  uint8_t digest[CANYON_DIGEST_BYTES]);

struct canyon_hyperparameter {
    char name[32];
    double fallback;         /* the default */
    double low, high;        /* the range; infinite for no bound */
    int low_open, high_open; /* 1: the bound itself is outside */
    char meaning[96];
};

struct canyon_optimizer_info {
    char name[32];
    char summary[160];
    char source[160];
    uint32_t slot_count;
    char slots[CANYON_MAX_SLOTS][32]; /* arrays of the weights' shape */
    uint32_t scalar_count;
    char scalars[CANYON_MAX_SCALARS][32]; /* numbers for each block, beside its step */
    uint32_t hyperparameter_count;
    struct canyon_hyperparameter hyperparameters[CANYON_MAX_HYPERPARAMETERS];
    int rows_only; /* 1: for the rows of tables, a slot is one number a row; tensors refuse it */
};

/* The optimizers the servers have. *optimizers is owned: canyon_free. */
CANYON_API enum canyon_status canyon_optimizers(canyon_client *client, uint32_t timeout_ms,
                                                struct canyon_optimizer_info **optimizers, size_t *count);

/* Frees an array that a call above gave. Safe on NULL. */
CANYON_API void canyon_free(void *array);

#ifdef __cplusplus
}
#endif

#endif
