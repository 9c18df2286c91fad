import java.io.*;
import java.net.*;
import java.nio.file.*;
import java.util.*;

/** Does a little of everything that a flight recording tells of. */
public class Load {
    static final Object LOCK = new Object();
    static volatile Object sink;

    public static void main(String[] args) throws Exception {
        Path file = Files.createTempFile("load", ".bin");
        byte[] bytes = new byte[64 * 1024];
        try (RandomAccessFile out = new RandomAccessFile(file.toFile(), "rw")) {
            for (int i = 0; i < 4; i++) out.write(bytes);
            out.seek(0);
            for (int i = 0; i < 4; i++) out.read(bytes);
        }
        Files.delete(file);
        ServerSocket server = new ServerSocket(0, 5, InetAddress.getLoopbackAddress());
        Thread echo = new Thread(() -> {
            try (Socket s = server.accept()) {
                byte[] b = new byte[1000];
                int n = s.getInputStream().read(b);
                Thread.sleep(40);
                s.getOutputStream().write(b, 0, n);
            } catch (Exception e) { throw new RuntimeException(e); }
        });
        echo.start();
        try (Socket s = new Socket(server.getInetAddress(), server.getLocalPort())) {
            s.getOutputStream().write(new byte[700]);
            s.getInputStream().read(new byte[1000]);
        }
        echo.join();
        Thread holder = new Thread(() -> {
            synchronized (LOCK) { try { Thread.sleep(60); } catch (InterruptedException e) { } }
        });
        holder.start();
        Thread.sleep(15);
        synchronized (LOCK) { sink = LOCK; }
        holder.join();
        int caught = 0;
        for (int i = 0; i < 25; i++) {
            try { throw new IllegalStateException("on purpose"); } catch (IllegalStateException e) { caught++; }
        }
        long end = System.currentTimeMillis() + 2200;
        List<byte[]> kept = new ArrayList<>();
        double x = 0;
        while (System.currentTimeMillis() < end) {
            sink = new byte[8192];
            if (kept.size() < 400) kept.add(new byte[4096]);
            x += Math.sqrt(x + 1);
        }
        System.gc();
        Thread.sleep(100);
        System.out.println(caught + " " + x);
    }
}
