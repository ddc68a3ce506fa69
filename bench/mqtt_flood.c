/* The load generator of MQTT: one process, one thread, epoll, 3.1.1 and 5, QoS 0 to 2.
 *
 *     mqtt_flood port=1883 publishers=100 window=100 qos=1 seconds=10
 *
 * Connects everybody, prints "ready", waits for a line on standard input, sends, prints what it
 * did as JSON. Without publishers it goes on until the next line: "storm" cuts all connections and
 * makes them again (one line of JSON), anything else ends it. `options` below lists what it takes.
 *
 * A message is 40 bytes in 3.1.1 with the ordinary topic. Packets are made from templates, and all
 * that a window allows leave in one write; acknowledgements of one read leave in one write.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

enum { CONNECT = 1, CONNACK, PUBLISH, PUBACK, PUBREC, PUBREL, PUBCOMP, SUBSCRIBE, SUBACK,
       PINGREQ = 12, PINGRESP, DISCONNECT };
enum { READ_BYTES = 256 << 10, WRITE_BYTES = 64 << 10, VALUES = 1000, VALUE_BYTES = 5 };
enum { ADDRESSES_PER_NET = 250, EVENTS = 512, BUCKETS = 48 * 1024 };

static const double DRAIN_SECONDS = 60, QUIET_SECONDS = 1, CONNECT_SECONDS = 120;

struct option { const char *name; double number; const char *text; const char *meaning; };

static struct option options[] = {
    {"port", 1883, NULL, "of the broker on 127.0.0.1"},
    {"publishers", 0, NULL, "connections that publish"},
    {"subscribers", 0, NULL, "connections that subscribe to filter"},
    {"idle", 0, NULL, "connections that do nothing but stay"},
    {"seconds", 10, NULL, "how long to publish at most"},
    {"count", 0, NULL, "messages to publish at most, all connections together (0: no limit)"},
    {"rate", 0, NULL, "messages a second, all together (0: as fast as they are taken)"},
    {"window", 100, NULL, "unacknowledged messages of a connection at QoS 1 and 2"},
    {"under_way", 0, NULL, "messages that not all subscribers here have yet (0: no limit)"},
    {"qos", 1, NULL, "of messages"},
    {"subscriber_qos", -1, NULL, "asked for by subscribers (-1: as qos)"},
    {"version", 4, NULL, "4 is MQTT 3.1.1, 5 is MQTT 5"},
    {"topics", 1, NULL, "topics of each connection, taken in turn"},
    {"addresses", 0, NULL, "addresses that connections come from (0: one for each, up to 1000)"},
    {"keep_alive", 60, NULL, "seconds"},
    {"burst", 100, NULL, "connections that are being made at the same time"},
    {"expiry", -1, NULL, "seconds a session lasts, clean start off (-1: clean start)"},
    {"user", 0, "", "user name (empty: none)"},
    {"password", 0, "", ""},
    {"client", 0, "flood", "beginning of the client ids"},
    {"topic", 0, "readings/dev%05u/temperature", "of publisher %u"},
    {"filter", 0, "readings/#", "of subscribers; %u is the subscriber's number"},
};

enum kind { PUBLISHER, SUBSCRIBER, IDLE };
enum state { CLOSED, CONNECTING, GREETED, SUBSCRIBED, READY, DRAINED };

struct connection {
    int file;
    unsigned number;
    enum kind kind;
    enum state state;
    bool wants_out;
    uint8_t *rest;               /* an incomplete packet at the end of the last read */
    size_t rest_bytes;
    uint8_t *out;                /* what the socket has not taken: from out_start to out_end */
    size_t out_start, out_end, out_size;
    uint8_t *templates;          /* a packet for each topic, without its id and value */
    size_t template_bytes;
    uint16_t *free_ids;          /* ring: taken at free_first, given back behind the last */
    unsigned free_first, free_count, window;
    uint64_t *since;             /* by id: when the message was due; 0: not in use */
    uint64_t sent, quota, last_written;
    unsigned keep_alive;
};

static struct connection *connections;
static unsigned total, publishers, subscribers, ready_count, connecting, next_to_connect;
static int poller, timer = -1, qos, version;
static uint64_t window, under_way_limit, start_ns, end_ns, tick_ns, now_ns, heard_ns;
static double rate;
static bool publishing, draining;
static char values[VALUES][VALUE_BYTES + 1];
static uint8_t input[READ_BYTES + WRITE_BYTES];

static uint64_t sent, acknowledged, acknowledged_in_time, refused, received, received_in_time;
static uint64_t duplicates, broken, pings, first_received_ns, last_received_ns;
static uint64_t histogram[BUCKETS], measured, longest_ns;
static unsigned least_window = UINT32_MAX;
static char first_refusal[200];

static void fail(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fputs("mqtt_flood: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    exit(1);
}

static struct option *option(const char *name, size_t length)
{
    for (size_t n = 0; n < sizeof options / sizeof *options; n++)
        if (strlen(options[n].name) == length && !memcmp(options[n].name, name, length))
            return &options[n];
    fail("there is no option %.*s", (int)length, name);
    return NULL;
}

static double number(const char *name) { return option(name, strlen(name))->number; }
static const char *text(const char *name) { return option(name, strlen(name))->text; }

static uint64_t clock_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void note_refusal(const char *what, unsigned reason)
{
    if (!*first_refusal)
        snprintf(first_refusal, sizeof first_refusal, "%s with reason 0x%02x", what, reason);
}

/* Latencies: exact to the microsecond below 2 ms, to a thousandth above. */

static void measure(uint64_t nanoseconds)
{
    uint64_t us = nanoseconds / 1000;
    unsigned shift = us < 2048 ? 0 : 53 - (unsigned)__builtin_clzll(us);
    uint64_t bucket = shift * 1024ull + (us >> shift);
    histogram[bucket < BUCKETS ? bucket : BUCKETS - 1]++;
    measured++;
    if (nanoseconds > longest_ns)
        longest_ns = nanoseconds;
}

static double percentile_us(double share)
{
    uint64_t wanted = (uint64_t)(share * (double)measured), seen = 0;
    for (unsigned bucket = 0; bucket < BUCKETS; bucket++) {
        seen += histogram[bucket];
        if (seen > wanted) {
            unsigned shift = bucket < 2048 ? 0 : bucket / 1024 - 1;
            return (double)((uint64_t)(bucket - shift * 1024u) << shift);
        }
    }
    return (double)longest_ns / 1000;
}

/* Bytes out */

static void watch(struct connection *c, bool out)
{
    if (c->wants_out == out)
        return;
    struct epoll_event event = {.events = EPOLLIN | (out ? EPOLLOUT : 0), .data.ptr = c};
    epoll_ctl(poller, EPOLL_CTL_MOD, c->file, &event);
    c->wants_out = out;
}

static uint8_t *room(struct connection *c, size_t bytes)
{
    if (c->out_start == c->out_end)
        c->out_start = c->out_end = 0;
    if (c->out_end + bytes > c->out_size) {
        memmove(c->out, c->out + c->out_start, c->out_end - c->out_start);
        c->out_end -= c->out_start;
        c->out_start = 0;
        if (c->out_end + bytes > c->out_size) {
            c->out_size = (c->out_end + bytes) * 2;
            c->out = realloc(c->out, c->out_size);
            if (!c->out)
                fail("out of memory");
        }
    }
    return c->out + c->out_end;
}

static void append(struct connection *c, const void *bytes, size_t length)
{
    memcpy(room(c, length), bytes, length);
    c->out_end += length;
}

static void close_connection(struct connection *c)
{
    if (c->state == CLOSED)
        return;
    if (c->state == CONNECTING || c->state == GREETED || c->state == SUBSCRIBED)
        connecting--;
    else
        ready_count--;
    close(c->file);
    free(c->rest);
    free(c->out);
    c->rest = c->out = NULL;
    c->rest_bytes = c->out_start = c->out_end = c->out_size = 0;
    c->wants_out = false;
    c->state = CLOSED;
}

static void broke(struct connection *c)
{
    broken++;
    close_connection(c);
}

static bool flush(struct connection *c)
{
    while (c->out_start < c->out_end) {
        ssize_t done = send(c->file, c->out + c->out_start, c->out_end - c->out_start, MSG_NOSIGNAL);
        if (done < 0) {
            if (errno == EAGAIN || errno == EINTR)
                break;
            broke(c);
            return false;
        }
        c->out_start += (size_t)done;
        c->last_written = now_ns;
    }
    return c->out_start == c->out_end;
}

/* Publishing */

static void make_templates(struct connection *c)
{
    unsigned topics = (unsigned)number("topics");
    for (unsigned n = 0; n < topics; n++) {
        char topic[256];
        int length = snprintf(topic, sizeof topic, text("topic"), c->number * topics + n);
        if (length < 1 || length > 120 - (int)VALUE_BYTES)
            fail("the topic must have 1 to 115 bytes");
        size_t body = 2 + (size_t)length + (qos ? 2 : 0) + (version == 5) + VALUE_BYTES;
        if (!n) {
            c->template_bytes = 2 + body;
            c->templates = calloc(topics, c->template_bytes);
        } else if (2 + body != c->template_bytes) {
            fail("topics of a connection must be of the same length: %s", topic);
        }
        uint8_t *packet = c->templates + n * c->template_bytes;
        packet[0] = (uint8_t)(PUBLISH << 4 | qos << 1);
        packet[1] = (uint8_t)body;
        packet[2] = 0;
        packet[3] = (uint8_t)length;
        memcpy(packet + 4, topic, (size_t)length);
    }
}

static bool may_send(const struct connection *c)
{
    if (!publishing || c->state != READY || c->sent >= c->quota || (qos && !c->free_count))
        return false;
    if (under_way_limit && sent * subscribers >= received + under_way_limit * subscribers)
        return false;
    return true;
}

/* When message n of this connection is due, put off to the next tick; now, if there is no rate. */
static uint64_t due(const struct connection *c)
{
    if (!rate)
        return now_ns;
    double seconds = ((double)c->sent * publishers + c->number) / rate;
    return start_ns + ((uint64_t)(seconds * 1e3) + 1) * 1000000u;
}

static void publish(struct connection *c)
{
    static const size_t most = WRITE_BYTES;
    unsigned topics = (unsigned)number("topics");
    for (;;) {
        uint64_t when;
        while (c->out_end - c->out_start < most && may_send(c) && (when = due(c)) <= now_ns) {
            uint8_t *packet = room(c, c->template_bytes);
            memcpy(packet, c->templates + c->sent % topics * c->template_bytes, c->template_bytes);
            uint8_t *end = packet + c->template_bytes - VALUE_BYTES;
            memcpy(end, values[(c->sent * 7 + c->number) % VALUES], VALUE_BYTES);
            if (qos) {
                uint16_t id = c->free_ids[c->free_first];
                c->free_first = c->free_first + 1 == c->window ? 0 : c->free_first + 1;
                c->free_count--;
                c->since[id] = when;
                end -= 2 + (version == 5);
                end[0] = (uint8_t)(id >> 8);
                end[1] = (uint8_t)id;
            }
            c->out_end += c->template_bytes;
            c->sent++;
            sent++;
        }
        if (c->out_start == c->out_end || !flush(c))
            break;
        if (!qos)       /* nothing holds it back: the others' turn */
            break;
    }
    if (c->state != CLOSED)
        watch(c, c->out_start < c->out_end || (!qos && !rate && may_send(c)));
}

static void completed(struct connection *c, uint16_t id, unsigned reason)
{
    if (!id || id > c->window || !c->since[id]) {
        note_refusal("an acknowledgement that nobody waits for", id);
        refused++;
        return;
    }
    measure(now_ns > c->since[id] ? now_ns - c->since[id] : 0);
    c->since[id] = 0;
    unsigned last = c->free_first + c->free_count;
    c->free_ids[last >= c->window ? last - c->window : last] = id;
    c->free_count++;
    if (reason >= 0x80) {
        note_refusal("a message was refused", reason);
        refused++;
    } else {
        acknowledged++;
    }
}

/* Connecting */

static void put_text(uint8_t **at, const char *string, size_t length)
{
    *(*at)++ = (uint8_t)(length >> 8);
    *(*at)++ = (uint8_t)length;
    memcpy(*at, string, length);
    *at += length;
}

static void send_packet(struct connection *c, uint8_t first, const uint8_t *body, size_t length)
{
    uint8_t head[3] = {first, (uint8_t)length, 0};
    size_t size = 2;
    if (length > 127) {
        head[1] = (uint8_t)(length | 0x80);
        head[2] = (uint8_t)(length >> 7);
        size = 3;
    }
    append(c, head, size);
    append(c, body, length);
}

static void greet(struct connection *c)
{
    uint8_t body[1024], *at = body;
    char id[64];
    const char *user = text("user"), *password = text("password");
    int expiry = (int)number("expiry");
    static const char kinds[] = "psi";
    int length = snprintf(id, sizeof id, "%.40s-%c%u", text("client"), kinds[c->kind], c->number);
    if (strlen(user) + strlen(password) > 800)
        fail("user and password are too long");
    put_text(&at, "MQTT", 4);
    *at++ = (uint8_t)version;
    *at++ = (uint8_t)((*user ? 0x80 : 0) | (*password ? 0x40 : 0) | (expiry < 0 ? 2 : 0));
    *at++ = (uint8_t)(c->keep_alive >> 8);
    *at++ = (uint8_t)c->keep_alive;
    if (version == 5) {
        *at++ = expiry < 0 ? 0 : 5;
        if (expiry >= 0) {
            *at++ = 0x11;
            for (int shift = 24; shift >= 0; shift -= 8)
                *at++ = (uint8_t)(expiry >> shift);
        }
    }
    put_text(&at, id, (size_t)length);
    if (*user)
        put_text(&at, user, strlen(user));
    if (*password)
        put_text(&at, password, strlen(password));
    send_packet(c, CONNECT << 4, body, (size_t)(at - body));
}

static void subscribe(struct connection *c)
{
    uint8_t body[512], *at = body;
    char filter[256];
    int asked = (int)number("subscriber_qos");
    int length = snprintf(filter, sizeof filter, text("filter"), c->number);
    *at++ = 0;
    *at++ = 1;
    if (version == 5)
        *at++ = 0;
    put_text(&at, filter, (size_t)length);
    *at++ = (uint8_t)(asked < 0 ? qos : asked);
    send_packet(c, SUBSCRIBE << 4 | 2, body, (size_t)(at - body));
}

static void begin_connecting(struct connection *c)
{
    unsigned addresses = (unsigned)number("addresses");
    unsigned place = c->number % (addresses ? addresses : total < 1000 ? total : 1000);
    struct sockaddr_in from = {.sin_family = AF_INET}, to = {.sin_family = AF_INET};
    from.sin_addr.s_addr =
        htonl(0x7f000101u + (place / ADDRESSES_PER_NET << 8) + place % ADDRESSES_PER_NET);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    to.sin_port = htons((uint16_t)number("port"));
    int one = 1;
    c->file = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (c->file < 0)
        fail("no socket: %s", strerror(errno));
    setsockopt(c->file, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    /* The port is chosen when it connects: else all connections together had 28,000. */
    setsockopt(c->file, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof one);
    if (bind(c->file, (struct sockaddr *)&from, sizeof from))
        fail("can't bind: %s", strerror(errno));
    if (connect(c->file, (struct sockaddr *)&to, sizeof to) && errno != EINPROGRESS)
        fail("can't connect: %s", strerror(errno));
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT, .data.ptr = c};
    epoll_ctl(poller, EPOLL_CTL_ADD, c->file, &event);
    c->wants_out = true;
    c->state = CONNECTING;
    c->keep_alive = (unsigned)number("keep_alive");
    connecting++;
}

static void now_ready(struct connection *c)
{
    c->state = READY;
    connecting--;
    ready_count++;
}

static void set_window(struct connection *c, unsigned allowed)
{
    if (c->kind != PUBLISHER)
        return;
    c->window = window < allowed ? (unsigned)window : allowed;
    if (c->window < least_window)
        least_window = c->window;
    free(c->free_ids);
    free(c->since);
    c->free_ids = calloc(c->window, sizeof *c->free_ids);
    c->since = calloc(c->window + 1, sizeof *c->since);
    c->free_first = 0;
    c->free_count = c->window;
    for (unsigned n = 0; n < c->window; n++)
        c->free_ids[n] = (uint16_t)(n + 1);
}

/* Returns the receive maximum of a CONNACK's properties, and takes the server's keep-alive. */
static unsigned read_properties(struct connection *c, const uint8_t *at, const uint8_t *end)
{
    unsigned maximum = 65535;
    while (at < end) {
        unsigned two = at + 2 < end ? (unsigned)(at[1] << 8 | at[2]) : 0;
        switch (*at) {
        case 0x21: maximum = two; at += 3; break;
        case 0x13: c->keep_alive = two; at += 3; break;
        case 0x22: at += 3; break;
        case 0x24: case 0x25: case 0x28: case 0x29: case 0x2a: at += 2; break;
        case 0x11: case 0x27: at += 5; break;
        case 0x26:
            at += 3 + two;
            at += at + 1 < end ? 2 + (at[0] << 8 | at[1]) : 0;
            break;
        default: at += 3 + two; break;
        }
    }
    return maximum;
}

static void greeted(struct connection *c, const uint8_t *body, size_t length)
{
    unsigned allowed = 65535;
    if (length < 2 || body[1]) {
        note_refusal("a connection was refused", length < 2 ? 0 : body[1]);
        refused++;
        broke(c);
        return;
    }
    if (version == 5 && length > 3)     /* their length is one byte, or two with the high bit */
        allowed = read_properties(c, body + 3 + (body[2] >> 7), body + length);
    set_window(c, allowed);
    if (c->kind == SUBSCRIBER) {
        c->state = SUBSCRIBED;
        subscribe(c);
        watch(c, !flush(c));
    } else {
        now_ready(c);
    }
}

/* Bytes in */

static void answer(struct connection *c, uint8_t first, const uint8_t *id)
{
    const uint8_t packet[4] = {first, 2, id[0], id[1]};
    append(c, packet, sizeof packet);
}

static void delivered(struct connection *c, uint8_t first, const uint8_t *body, size_t length)
{
    size_t topic = (size_t)(body[0] << 8 | body[1]);
    if (length < topic + 4)
        fail("a message is shorter than it says");
    if (first & 8)
        duplicates++;
    received++;
    if (first & 6)
        answer(c, first & 4 ? PUBREC << 4 : PUBACK << 4, body + 2 + topic);
}

static void take(struct connection *c, uint8_t first, const uint8_t *body, size_t length)
{
    unsigned reason = length > 2 ? body[2] : 0;
    switch (first >> 4) {
    case CONNACK: greeted(c, body, length); break;
    case PUBLISH: delivered(c, first, body, length); break;
    case PUBREC:
        if (reason >= 0x80)
            completed(c, (uint16_t)(body[0] << 8 | body[1]), reason);
        else
            answer(c, PUBREL << 4 | 2, body);
        break;
    case PUBACK: case PUBCOMP: completed(c, (uint16_t)(body[0] << 8 | body[1]), reason); break;
    case PUBREL: answer(c, PUBCOMP << 4, body); break;
    case SUBACK:
        if (length && body[length - 1] >= 0x80) {
            note_refusal("a subscription was refused", body[length - 1]);
            refused++;
        }
        now_ready(c);
        break;
    case PINGRESP:
        pings++;
        if (draining && c->kind == PUBLISHER)
            c->state = DRAINED;
        break;
    case DISCONNECT:
        note_refusal("the server ended a connection", length ? body[0] : 0);
        break;
    default: fail("the server sent a packet of type %d", first >> 4);
    }
}

static void receive(struct connection *c)
{
    if (c->rest_bytes)
        memcpy(input, c->rest, c->rest_bytes);
    ssize_t got = recv(c->file, input + c->rest_bytes, READ_BYTES, 0);
    if (got <= 0) {
        if (got < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        broke(c);
        return;
    }
    heard_ns = now_ns;
    uint64_t before = received;
    const uint8_t *at = input, *end = input + c->rest_bytes + got;
    while (end - at >= 2 && c->state != CLOSED) {
        size_t length = 0;
        int shift = 0;
        const uint8_t *body = at + 1;
        while (body < end && shift < 28) {
            length |= (size_t)(*body & 0x7f) << shift;
            shift += 7;
            if (!(*body++ & 0x80)) {
                shift = 99;
                break;
            }
        }
        if (shift != 99 || (size_t)(end - body) < length)
            break;
        take(c, *at, body, length);
        at = body + length;
    }
    if (c->state == CLOSED)
        return;
    if (received != before) {
        if (!before)
            first_received_ns = now_ns;
        last_received_ns = now_ns;
    }
    free(c->rest);
    c->rest = NULL;
    c->rest_bytes = (size_t)(end - at);
    if (c->rest_bytes > WRITE_BYTES)
        fail("the server sent a packet that is too long");
    if (c->rest_bytes) {
        c->rest = malloc(c->rest_bytes);
        memcpy(c->rest, at, c->rest_bytes);
    }
    if (publishing && c->kind == PUBLISHER)
        publish(c);
    else if (c->out_start < c->out_end)
        watch(c, !flush(c) && c->state != CLOSED);
}

/* The loop */

static void handle(struct connection *c, uint32_t events)
{
    if (c->state == CLOSED)
        return;
    if (c->state == CONNECTING && events & (EPOLLOUT | EPOLLERR | EPOLLHUP)) {
        int error = 0;
        socklen_t size = sizeof error;
        getsockopt(c->file, SOL_SOCKET, SO_ERROR, &error, &size);
        if (error) {
            note_refusal(strerror(error), (unsigned)error);
            broke(c);
            return;
        }
        c->state = GREETED;
        greet(c);
        watch(c, !flush(c));
        return;
    }
    if (events & (EPOLLIN | EPOLLERR | EPOLLHUP))
        receive(c);
    if (c->state != CLOSED && events & EPOLLOUT) {
        if (c->kind == PUBLISHER && publishing)
            publish(c);
        else if (flush(c))
            watch(c, false);
    }
}

static void turn(int milliseconds)
{
    struct epoll_event events[EVENTS];
    int count = epoll_wait(poller, events, EVENTS, milliseconds);
    now_ns = clock_ns();
    uint64_t before = received, ticks;
    for (int n = 0; n < count; n++)
        if (events[n].data.ptr)
            handle(events[n].data.ptr, events[n].events);
        else if (read(timer, &ticks, sizeof ticks) < 0 && errno != EAGAIN)
            fail("no timer: %s", strerror(errno));
    /* What subscribers have got may let publishers go on that wait for nothing else. */
    if (under_way_limit && received != before)
        for (unsigned n = 0; n < publishers; n++)
            if (may_send(&connections[n]))
                publish(&connections[n]);
}

static void keep_alive(void)
{
    static uint64_t last;
    static const uint8_t ping[] = {PINGREQ << 4, 0};
    if (now_ns - last < 250000000u)
        return;
    last = now_ns;
    for (unsigned n = 0; n < total; n++) {
        struct connection *c = &connections[n];
        if (c->state != READY || !c->keep_alive || c->out_start < c->out_end)
            continue;
        if (now_ns - c->last_written > c->keep_alive * 500000000ull) {
            append(c, ping, sizeof ping);
            watch(c, !flush(c) && c->state != CLOSED);
        }
    }
}

static void connect_all(unsigned burst)
{
    uint64_t end = clock_ns() + (uint64_t)(CONNECT_SECONDS * 1e9);
    next_to_connect = 0;
    while (next_to_connect < total || connecting) {
        while (next_to_connect < total && connecting < burst)
            begin_connecting(&connections[next_to_connect++]);
        turn(100);
        keep_alive();
        if (now_ns > end)
            fail("only %u of %u connections were made in time", ready_count, total);
    }
}

/* Returns the next line of standard input without waiting for it, or NULL; "" at its end. */
static const char *command(void)
{
    static char line[64];
    static size_t length;
    for (;;) {
        char byte = 0;
        ssize_t got = read(STDIN_FILENO, &byte, 1);
        if (got < 0)
            return NULL;
        if (!got || byte == '\n') {
            line[length] = 0;
            length = 0;
            return line;
        }
        if (length < sizeof line - 1)
            line[length++] = byte;
    }
}

static const char *wait_for_command(void)
{
    const char *line;
    while (!(line = command())) {
        turn(100);
        keep_alive();
    }
    return line;
}

static void run_publishers(void)
{
    static const uint8_t ping[] = {PINGREQ << 4, 0};
    start_ns = now_ns = heard_ns = clock_ns();
    end_ns = start_ns + (uint64_t)(number("seconds") * 1e9);
    publishing = true;
    if (rate) {
        timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
        struct itimerspec every = {{0, 1000000}, {0, 1000000}};
        timerfd_settime(timer, 0, &every, NULL);
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
        epoll_ctl(poller, EPOLL_CTL_ADD, timer, &event);
    }
    for (unsigned n = 0; n < publishers; n++)
        publish(&connections[n]);
    while (now_ns < end_ns) {
        turn(10);
        keep_alive();
        if (rate && now_ns - tick_ns >= 1000000u) {
            tick_ns = now_ns;
            for (unsigned n = 0; n < publishers; n++)
                publish(&connections[n]);
        }
        bool more = false;
        for (unsigned n = 0; n < publishers && !more; n++)
            more = connections[n].state == READY &&
                   (connections[n].sent < connections[n].quota || (qos && acknowledged + refused < sent));
        if (!more)
            break;
    }
    acknowledged_in_time = acknowledged;
    received_in_time = received;
    publishing = false;
    if (now_ns < end_ns)
        end_ns = now_ns;
    if (timer >= 0)
        close(timer);
    /* An answered ping behind the last message says that the server has read all. */
    draining = true;
    for (unsigned n = 0; n < publishers; n++)
        if (connections[n].state == READY) {
            append(&connections[n], ping, sizeof ping);
            watch(&connections[n], !flush(&connections[n]) && connections[n].state != CLOSED);
        }
    uint64_t limit = clock_ns() + (uint64_t)(DRAIN_SECONDS * 1e9);
    for (bool more = true; more && now_ns < limit;) {
        turn(10);
        more = qos && acknowledged + refused < sent && ready_count;
        for (unsigned n = 0; n < publishers && !more; n++)
            more = connections[n].state == READY;
    }
    if (!qos) {         /* what was written counts when it was read */
        end_ns = now_ns;
        acknowledged = acknowledged_in_time = sent;
    }
}

static void wait_until_quiet(void)
{
    heard_ns = now_ns = clock_ns();
    while (subscribers && (double)(now_ns - heard_ns) < QUIET_SECONDS * 1e9)
        if (publishers && received >= sent * subscribers)
            break;
        else
            turn(10);
}

static void report(double seconds, double connect_seconds)
{
    struct rusage used;
    getrusage(RUSAGE_SELF, &used);
    double cpu = (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
                 (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
    uint64_t span = last_received_ns - first_received_ns;
    printf("{\"connected\": %u, \"connect_seconds\": %.6f, \"broken\": %lu, \"seconds\": %.6f, "
           "\"sent\": %lu, \"acknowledged\": %lu, \"acknowledged_in_time\": %lu, "
           "\"refused\": %lu, \"received\": %lu, \"received_in_time\": %lu, "
           "\"receiving_seconds\": %.6f, \"duplicates\": %lu, \"pings\": %lu, \"window\": %u, "
           "\"p50_us\": %.0f, \"p90_us\": %.0f, \"p99_us\": %.0f, \"p999_us\": %.0f, "
           "\"longest_us\": %.0f, \"cpu\": %.4f, \"first_refusal\": \"%s\"}\n",
           ready_count, connect_seconds, broken, seconds, sent, acknowledged,
           acknowledged_in_time, refused, received, received_in_time, (double)span / 1e9,
           duplicates, pings, least_window == UINT32_MAX ? 0 : least_window, percentile_us(0.5),
           percentile_us(0.9), percentile_us(0.99), percentile_us(0.999),
           (double)longest_ns / 1e3, cpu, first_refusal);
    fflush(stdout);
}

static void read_options(int count, char **arguments)
{
    if (count < 2) {
        for (size_t n = 0; n < sizeof options / sizeof *options; n++)
            printf("%-16s %s\n", options[n].name, options[n].meaning);
        exit(0);
    }
    for (int n = 1; n < count; n++) {
        const char *equals = strchr(arguments[n], '=');
        if (!equals)
            fail("options are name=value, not %s", arguments[n]);
        struct option *one = option(arguments[n], (size_t)(equals - arguments[n]));
        char *end = NULL;
        if (one->text) {
            one->text = equals + 1;
            continue;
        }
        one->number = strtod(equals + 1, &end);
        if (end == equals + 1 || *end)
            fail("%s must be a number", one->name);
    }
    qos = (int)number("qos");
    version = (int)number("version");
    rate = number("rate");
    window = (uint64_t)number("window");
    under_way_limit = (uint64_t)number("under_way");
    publishers = (unsigned)number("publishers");
    subscribers = (unsigned)number("subscribers");
    total = publishers + subscribers + (unsigned)number("idle");
    if (!total || qos < 0 || qos > 2 || (version != 4 && version != 5) || number("topics") < 1 ||
        window < 1 || window > 65535)
        fail("at least one connection, one topic; qos 0 to 2; version 4 or 5; window 1 to 65535");
}

int main(int count, char **arguments)
{
    read_options(count, arguments);
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    if (files.rlim_cur < total + 20)
        fail("%u connections need more open files than the %lu allowed", total, files.rlim_cur);
    for (unsigned n = 0; n < VALUES; n++)
        snprintf(values[n], sizeof values[n], "%05.2f", 15 + n / 50.0);
    poller = epoll_create1(EPOLL_CLOEXEC);
    connections = calloc(total, sizeof *connections);
    uint64_t limit = (uint64_t)number("count");
    for (unsigned n = 0; n < total; n++) {
        struct connection *c = &connections[n];
        c->kind = n < publishers ? PUBLISHER : n < publishers + subscribers ? SUBSCRIBER : IDLE;
        c->number = n < publishers ? n : n - (c->kind == IDLE ? publishers + subscribers : publishers);
        c->quota = !limit ? UINT64_MAX : limit / publishers + (n < limit % publishers);
        if (c->kind == PUBLISHER)
            make_templates(c);
    }
    uint64_t began = clock_ns();
    connect_all((unsigned)number("burst"));
    double connect_seconds = (double)(clock_ns() - began) / 1e9;
    if (ready_count < total)
        fail("only %u of %u connections were accepted: %s", ready_count, total, first_refusal);
    printf("ready\n");
    fflush(stdout);
    fcntl(STDIN_FILENO, F_SETFL, O_NONBLOCK);
    wait_for_command();
    if (publishers) {
        run_publishers();
        wait_until_quiet();
        report((double)(end_ns - start_ns) / 1e9, connect_seconds);
        return 0;
    }
    start_ns = clock_ns();
    while (!strncmp(wait_for_command(), "storm", 5)) {
        for (unsigned n = 0; n < total; n++)
            close_connection(&connections[n]);
        broken = 0;
        start_ns = clock_ns();
        connect_all((unsigned)number("burst"));
        connect_seconds = (double)(clock_ns() - start_ns) / 1e9;
        report(connect_seconds, connect_seconds);
    }
    wait_until_quiet();
    report((double)(clock_ns() - start_ns) / 1e9, connect_seconds);
    return 0;
}
